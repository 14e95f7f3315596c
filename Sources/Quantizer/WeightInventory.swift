import Compute
package import Container

/// A model's quantisable matrices in groups of one kind and layer, between which types are divided.
package struct WeightInventory: Sendable {
    package struct Group: Sendable {
        package let kind: WeightKind
        package let layer: Int?
        package let weightCount: Int
        /// Of one matrix each, and how many of them there are.
        fileprivate let shapes: [(rows: Int, columns: Int, count: Int)]
        /// Which part of the group's bytes computing one token reads.
        fileprivate let readShare: Double

        /// Bytes in the file.
        package func byteCount(_ type: ConversionType) -> Int {
            shapes.reduce(0) { sum, shape in
                let format = FormatPlan.fitting(type.format, columns: shape.columns)
                let layout: MatrixLayout = kind == .embedding ? .rows : .panels
                return sum + shape.count
                    * MatrixShape(rows: shape.rows, columns: shape.columns, format: format, layout: layout).byteCount
            }
        }

        /// Bits of the weights and their scales, without padding.
        func bitCount(_ type: ConversionType) -> Double {
            shapes.reduce(0) { sum, shape in
                let format = FormatPlan.fitting(type.format, columns: shape.columns)
                return sum + Double(shape.rows * shape.columns * shape.count) * format.bitsPerElement
            }
        }

        package func byteCountPerToken(_ type: ConversionType) -> Double { Double(byteCount(type)) * readShare }
    }

    /// The model's own, then the layers', each in the order of `WeightKind`.
    package let groups: [Group]
    /// Bytes of what is never quantised; every token reads them all.
    package let fixedByteCount: Int
    package let weightCount: Int
    /// Of what is never quantised, and of the matrices whose types are fixed: their weights with their scales.
    let fixedBitCount: Double

    /// - Parameter types: of matrices that aren't to be decided here, and so belong to no group.
    package init(_ configuration: ModelConfiguration, fixed types: FixedTypes = FixedTypes()) {
        var shapes: [Place: [(rows: Int, columns: Int, count: Int)]] = [:]
        var fixed = 0
        var fixedWeights = 0
        var fixedBits = 0.0
        /// - Returns: whether the matrix has a fixed type.
        func isFixed(_ type: ConversionType?, rows: Int, columns: Int, _ layout: MatrixLayout) -> Bool {
            guard let type else { return false }
            let format = FormatPlan.fitting(type.format, columns: columns)
            fixed += MatrixShape(rows: rows, columns: columns, format: format, layout: layout).byteCount
            fixedWeights += rows * columns
            fixedBits += Double(rows * columns) * format.bitsPerElement
            return true
        }
        for tensor in configuration.residentTensors {
            let layout: MatrixLayout = tensor.isRowMajor ? .rows : .panels
            let kind = tensor.mustBeF32 ? nil : WeightKind(tensor.key.role)
            let type = kind == nil ? .f32 : types.type(of: tensor.key)
            guard !isFixed(type, rows: tensor.rows, columns: tensor.columns, layout), let kind else { continue }
            shapes[Place(kind: kind, layer: tensor.key.layer), default: []].append((tensor.rows, tensor.columns, 1))
        }
        if let experts = configuration.experts {
            let hidden = configuration.hiddenSize
            let width = experts.intermediateSize
            let gateUpCount = configuration.activation.isGated ? 2 : 1
            for layer in 0..<configuration.layerCount where configuration.sparseLayers[layer] {
                var counts = (gateUp: 0, down: 0)
                for expert in 0..<experts.routedExpertCount {
                    let own = types.types(of: ExpertKey(layer: layer, expert: expert))
                    // Both at once: they have one shape.
                    if !isFixed(own.gateUp, rows: gateUpCount * width, columns: hidden, .panels) {
                        counts.gateUp += gateUpCount
                    }
                    if !isFixed(own.down, rows: hidden, columns: width, .panels) { counts.down += 1 }
                }
                if counts.gateUp > 0 {
                    shapes[Place(kind: .expertGateUp, layer: layer)] = [(width, hidden, counts.gateUp)]
                }
                if counts.down > 0 { shapes[Place(kind: .expertDown, layer: layer)] = [(hidden, width, counts.down)] }
            }
        }
        groups = shapes.sorted { $0.key < $1.key }.map { place, shapes in
            let readShare =
                if place.kind == .embedding {
                    1 / Double(configuration.vocabularySize)
                } else if place.kind.isRoutedExpert, let experts = configuration.experts {
                    Double(experts.expertsPerToken) / Double(experts.routedExpertCount)
                } else {
                    1.0
                }
            return Group(
                kind: place.kind, layer: place.layer,
                weightCount: shapes.reduce(0) { $0 + $1.rows * $1.columns * $1.count }, shapes: shapes,
                readShare: readShare)
        }
        fixedByteCount = fixed
        fixedBitCount = fixedBits
        weightCount = groups.reduce(fixedWeights) { $0 + $1.weightCount }
    }

    private struct Place: Hashable, Comparable {
        var kind: WeightKind
        var layer: Int?

        static func < (left: Self, right: Self) -> Bool {
            let order = WeightKind.allCases
            let (leftLayer, rightLayer) = (left.layer ?? -1, right.layer ?? -1)
            if leftLayer != rightLayer { return leftLayer < rightLayer }
            return (order.firstIndex(of: left.kind) ?? 0) < (order.firstIndex(of: right.kind) ?? 0)
        }
    }

    package func byteCount(_ types: [ConversionType]) -> Int {
        zip(groups, types).reduce(fixedByteCount) { $0 + $1.0.byteCount($1.1) }
    }

    package func byteCountPerToken(_ types: [ConversionType]) -> Double {
        zip(groups, types).reduce(Double(fixedByteCount)) { $0 + $1.0.byteCountPerToken($1.1) }
    }

    /// The rules that give every group its type, as few as it takes: per kind one for each set of layers.
    package func rules(_ types: [ConversionType], otherwise rest: ConversionType) -> [FormatRule] {
        var rules: [FormatRule] = []
        for kind in WeightKind.allCases {
            let members = groups.indices.filter { groups[$0].kind == kind }
            for type in ConversionType.allCases where type != rest {
                let chosen = members.filter { types[$0] == type }
                guard !chosen.isEmpty else { continue }
                let layers = chosen.count == members.count ? nil : chosen.compactMap { groups[$0].layer }
                if let pattern = NamePattern(kind.pattern(layers: layers)) { rules.append(FormatRule(pattern, type)) }
            }
        }
        if let everything = NamePattern("*") { rules.append(FormatRule(everything, rest)) }
        return rules
    }
}
