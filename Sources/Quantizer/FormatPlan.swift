package import Compute
package import Container

/// Which block format each tensor of a model gets: the first of the recipe's rules that matches its name decides.
///
/// Norms, biases and routers stay f32, and rows that aren't a whole number of groups stay bf16, whatever the rules say.
package struct FormatPlan: Sendable {
    package let configuration: ModelConfiguration
    /// `pure`, `quality`, `balanced`, `small`, or another that the rules are called by.
    package let recipeName: String
    /// Bits a weight that the types were picked for.
    package let targetBits: Double?
    /// In order; the last matches everything.
    package let rules: [FormatRule]

    private let tensorTypes: [TensorKey: ConversionType]
    /// By layer (empty for a dense one), then by expert.
    private let expertTypes: [[ExpertTypes]]

    /// The types of a routed expert's matrices; gate and up share theirs.
    package struct ExpertTypes: Sendable, Hashable {
        package var gateUp: ConversionType
        package var down: ConversionType

        package init(gateUp: ConversionType, down: ConversionType) {
            self.gateUp = gateUp
            self.down = down
        }
    }

    /// A plan by one of the built-in recipes.
    ///
    /// - Parameters:
    ///   - type: what most matrices become.
    ///   - isPure: all of them; otherwise by the standard recipe.
    package init(_ configuration: ModelConfiguration, type: ConversionType, isPure: Bool) {
        let recipe: BuiltInRecipe = isPure ? .pure : .standard(for: type)
        self.init(unchecked: configuration, recipe.rules(for: configuration, type: type), name: recipe.rawValue)
    }

    /// A plan by rules.
    ///
    /// - Parameters:
    ///   - own: the person's, before the recipe's: each must decide something.
    ///   - recipe: the rules behind them; the last matches everything.
    ///   - sourceNames: the checkpoint's names, for rules that use them.
    /// - Throws: `badRule`.
    package init(
        _ configuration: ModelConfiguration, own: [FormatRule], recipe: [FormatRule], name: String,
        targetBits: Double? = nil, sourceNames: SourceNames = SourceNames()
    ) throws(QuantizerError) {
        let rules = own + recipe
        var resolution = RuleResolution(rules, sourceNames)
        resolution.resolve(configuration)
        try resolution.check(ownCount: own.count)
        self.init(configuration, rules, name, targetBits, resolution)
    }

    /// For rules that were made for this configuration.
    init(unchecked configuration: ModelConfiguration, _ rules: [FormatRule], name: String) {
        var resolution = RuleResolution(rules, SourceNames())
        resolution.resolve(configuration)
        self.init(configuration, rules, name, nil, resolution)
    }

    private init(
        _ configuration: ModelConfiguration, _ rules: [FormatRule], _ name: String, _ targetBits: Double?,
        _ resolution: RuleResolution
    ) {
        self.configuration = configuration
        self.rules = rules
        recipeName = name
        self.targetBits = targetBits
        tensorTypes = resolution.tensorTypes
        expertTypes = resolution.expertTypes
    }

    /// What the last rule gives, and so most matrices.
    package var type: ConversionType { rules.last?.type ?? .f32 }
    /// Every matrix has the one type.
    package var isPure: Bool { rules.allSatisfy { $0.type == type } }

    package func type(of key: TensorKey) -> ConversionType { tensorTypes[key] ?? .f32 }

    /// The shape of a resident tensor in the container.
    package func shape(of tensor: TensorRequirement) -> MatrixShape {
        let wanted: BlockFormat = tensor.mustBeF32 ? .f32 : type(of: tensor.key).format
        return MatrixShape(
            rows: tensor.rows, columns: tensor.columns, format: Self.fitting(wanted, columns: tensor.columns),
            layout: tensor.isRowMajor ? .rows : .panels)
    }

    /// Plain rounding has linear codes only.
    ///
    /// - Throws: `badRule` if a rule asks for others.
    package func check(_ method: QuantizationMethod) throws(QuantizerError) {
        if method != .search, let rule = rules.first(where: { $0.type.isNested }) {
            throw QuantizerError(
                code: .badRule,
                message: "the rule '\(rule)' wants planes, and only the search finds scales that serve both",
                advice: "Use --method search, or another type")
        }
        guard method == .rtn, let rule = rules.first(where: { $0.type == .int4NonLinear }) else { return }
        throw QuantizerError(
            code: .badRule, message: "the rule '\(rule)' wants other codes than plain rounding has",
            advice: "Use another --method, or the type int4-linear")
    }

    /// - Precondition: the layer is sparse and has that expert.
    package func types(of key: ExpertKey) -> ExpertTypes { expertTypes[key.layer][key.expert] }

    /// The layout of a routed expert's blob, which has the first plane of nested matrices; nil where the model has none.
    package func layout(of key: ExpertKey) -> ExpertLayout? {
        guard let experts = configuration.experts, expertTypes.indices.contains(key.layer),
            expertTypes[key.layer].indices.contains(key.expert)
        else { return nil }
        let types = types(of: key)
        func format(_ type: ConversionType, columns: Int) -> BlockFormat {
            Self.fitting(type.isNested ? .q4 : type.format, columns: columns)
        }
        return ExpertLayout(
            hiddenSize: configuration.hiddenSize, intermediateSize: experts.intermediateSize,
            gateUpFormat: format(types.gateUp, columns: configuration.hiddenSize), gateUpTable: .linear,
            downFormat: format(types.down, columns: experts.intermediateSize), downTable: .linear,
            isGated: configuration.activation.isGated)
    }

    /// The second plane of a routed expert; nil where it has none.
    package func refinement(of key: ExpertKey) -> RefinementLayout? {
        guard let layout = layout(of: key) else { return nil }
        let types = types(of: key)
        let refinement = RefinementLayout(
            hiddenSize: layout.hiddenSize, intermediateSize: layout.intermediateSize,
            refinesGateUp: types.gateUp.isNested && layout.gateUpFormat == .q4,
            refinesDown: types.down.isNested && layout.downFormat == .q4, isGated: layout.isGated)
        return refinement.byteCount > 0 ? refinement : nil
    }

    package var isNested: Bool { rules.contains { $0.type.isNested } }

    /// Every routed expert of the forward pass, by layer and number.
    package var expertKeys: [ExpertKey] {
        expertTypes.indices.prefix(configuration.layerCount).flatMap { layer in
            expertTypes[layer].indices.map { ExpertKey(layer: layer, expert: $0) }
        }
    }

    /// A row that isn't a whole number of groups can't be quantised and stays bf16.
    static func fitting(_ format: BlockFormat, columns: Int) -> BlockFormat {
        format.isQuantized && !columns.isMultiple(of: BlockFormat.groupSize) ? .bf16 : format
    }

    /// Bytes of weights that computing one token reads: every resident tensor, of the embedding one row, and the chosen
    /// experts of every sparse layer, of average size where they differ, with all of their planes.
    package var byteCountPerToken: Int { byteCountPerToken(planes: .both) }

    package func byteCountPerToken(planes: ExpertPlanes) -> Int {
        var total = 0
        for tensor in configuration.residentTensors {
            let shape = shape(of: tensor)
            total += tensor.key.role.isEmbedding ? shape.strideByteCount : shape.byteCount
        }
        guard let experts = configuration.experts else { return total }
        return expertKeys.reduce(0) { sum, key in
            sum + (layout(of: key)?.byteCount ?? 0) + (planes == .both ? refinement(of: key)?.byteCount ?? 0 : 0)
        } * experts.expertsPerToken
            / experts.routedExpertCount + total
    }
}

extension ModelConfiguration {
    /// Every resident tensor of the forward pass, in the order of the container's index.
    package var residentTensors: [TensorRequirement] {
        modelTensors + (0..<layerCount).flatMap(tensors(ofLayer:))
    }

    /// The same and those of the layers that predict.
    package var storedTensors: [TensorRequirement] { modelTensors + storedLayers.flatMap(tensors(ofLayer:)) }

    package var sparseLayerCount: Int { sparseLayers.count { $0 } }
}
