package import Compute
package import Container

/// Which block format each tensor of a model gets.
///
/// Norms, biases and routers stay f32. `int4` without `--pure` is a mix: what weighs little and matters to every token
/// stays at int8 (published measurements: half the loss of pure int4), as long as a token reads
/// at most a tenth more than in pure int4.
package struct FormatPlan: Sendable {
    package let configuration: ModelConfiguration
    package let type: ConversionType
    package let isPure: Bool
    /// Roles that the mix keeps at int8.
    package let finerRoles: Set<TensorRole>

    /// By what they gain for their size. The latent projections feed everything that attention sees, and `kv_b` is used
    /// twice; the head comes last because in a small model it alone is a third of what a token reads.
    private static let candidates: [TensorRole] = [.keyValueUp, .keyValueDown, .queryDown, .outputHead]
    /// Bytes read a token, against pure int4.
    package static let greatestGrowth = 1.10

    package init(_ configuration: ModelConfiguration, type: ConversionType, isPure: Bool) {
        let isMixed = type == .int4 && !isPure
        // One row of it is read a token, whatever its size.
        var finer: Set<TensorRole> = isMixed ? [.tokenEmbedding] : []
        if isMixed {
            let pure = FormatPlan(configuration, type, isPure: true, finer: []).byteCountPerToken
            let present = Set(configuration.residentTensors.map(\.key.role))
            for role in Self.candidates where present.contains(role) {
                let mixed = FormatPlan(configuration, type, isPure: false, finer: finer.union([role]))
                if Double(mixed.byteCountPerToken) <= Double(pure) * Self.greatestGrowth { finer.insert(role) }
            }
        }
        self.init(configuration, type, isPure: isPure, finer: finer)
    }

    private init(_ configuration: ModelConfiguration, _ type: ConversionType, isPure: Bool, finer: Set<TensorRole>) {
        self.configuration = configuration
        self.type = type
        self.isPure = isPure
        finerRoles = finer
    }

    /// The shape of a resident tensor in the container.
    package func shape(of tensor: TensorRequirement) -> MatrixShape {
        let wanted: BlockFormat =
            tensor.mustBeF32 ? .f32 : finerRoles.contains(tensor.key.role) ? .q8 : type.format
        return MatrixShape(
            rows: tensor.rows, columns: tensor.columns, format: Self.fitting(wanted, columns: tensor.columns),
            layout: tensor.isRowMajor ? .rows : .panels)
    }

    /// The layout of every routed expert; nil for a dense model.
    package var expertLayout: ExpertLayout? {
        guard let experts = configuration.experts else { return nil }
        return ExpertLayout(
            hiddenSize: configuration.hiddenSize, intermediateSize: experts.intermediateSize,
            gateUpFormat: Self.fitting(type.format, columns: configuration.hiddenSize), gateUpTable: .linear,
            downFormat: Self.fitting(type.format, columns: experts.intermediateSize), downTable: .linear)
    }

    /// A row that isn't a whole number of groups can't be quantised and stays bf16.
    private static func fitting(_ format: BlockFormat, columns: Int) -> BlockFormat {
        format.isQuantized && !columns.isMultiple(of: BlockFormat.groupSize) ? .bf16 : format
    }

    /// Bytes of weights that computing one token reads: every resident tensor, of the embedding one row, and the chosen
    /// experts of every sparse layer.
    package var byteCountPerToken: Int {
        var total = 0
        for tensor in configuration.residentTensors {
            let shape = shape(of: tensor)
            total += tensor.key.role == .tokenEmbedding ? shape.strideByteCount : shape.byteCount
        }
        if let experts = configuration.experts, let layout = expertLayout {
            total += configuration.sparseLayerCount * experts.expertsPerToken * layout.byteCount
        }
        return total
    }
}

extension ModelConfiguration {
    /// Every resident tensor, in the order of the container's index.
    package var residentTensors: [TensorRequirement] {
        modelTensors + (0..<layerCount).flatMap(tensors(ofLayer:))
    }

    package var sparseLayerCount: Int { sparseLayers.count { $0 } }
}
