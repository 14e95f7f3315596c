package import Compute
package import Container
import TestSupport

/// A model of the smallest shape that has every role, with random contents, and containers made from it.
package struct SmallModel {
    package var configuration: ModelConfiguration
    package var text = TextAssets(
        tokenizerJSON: Array(#"{"model":{"type":"BPE"}}"#.utf8), tokenizerConfigJSON: Array("{}".utf8),
        chatTemplate: "{{ messages }}")
    package var recipe = Recipe(tool: "tests 1.0", type: "mixed", isPure: false, packing: .auto)
    package var format = BlockFormat.q8
    package var scaleFormat = ScaleFormat.f16
    package var packing = Packing.auto
    package var seed: UInt64 = 1
    /// These experts have a second plane; then `format` must be `.q4`.
    package var isRefined: (ExpertKey) -> Bool = { _ in false }
    /// The experts' code table.
    package var table = CodeTable.linear
    /// Compressible blobs for these experts.
    package var isSparse: (ExpertKey) -> Bool = { $0.expert == 1 }

    package init(layerCount: Int = 2, expertCount: Int = 3) {
        configuration = ModelConfiguration(
            family: "small", vocabularySize: 24, hiddenSize: 32, layerCount: layerCount, contextLength: 64,
            normEpsilon: 1e-6,
            attention: .latent(
                .init(
                    headCount: 2, queryLatentRank: 32, keyValueLatentRank: 32, plainHeadSize: 8, ropeHeadSize: 8,
                    valueHeadSize: 16, latentNormEpsilon: 1e-6, softmaxScale: 0.25)),
            rotary: .init(
                theta: 10000, pairing: .interleaved,
                yarn: .init(factor: 4, originalContextLength: 16, betaFast: 32, betaSlow: 1, magnitude: 1)),
            activation: .silu, denseIntermediateSize: 64, sparseLayers: (0..<layerCount).map { $0 > 0 },
            experts: .init(
                routedExpertCount: expertCount, expertsPerToken: 2, intermediateSize: 32, sharedIntermediateSize: 32,
                router: .init(
                    scoring: .sigmoid, hasSelectionBias: true, groupCount: 1, groupsPerToken: 1, groupScore: .topTwoSum,
                    normalizesWeights: true, weightScale: 2.5)),
            beginToken: 0, endTokens: [1])
    }

    package var metadata: ModelMetadata {
        ModelMetadata(
            configuration: configuration, generationDefaults: .init(temperature: 0.6, topP: 0.95), recipe: recipe,
            sources: [SourceFile(name: "model.safetensors", byteCount: 4711, checksum: 0xABC)])
    }

    package var tensors: [TensorRequirement] {
        configuration.modelTensors + (0..<configuration.layerCount).flatMap { configuration.tensors(ofLayer: $0) }
    }

    package var experts: [ExpertKey] {
        (0..<configuration.layerCount).filter { configuration.sparseLayers[$0] }.flatMap { layer in
            (0..<(configuration.experts?.routedExpertCount ?? 0)).map { ExpertKey(layer: layer, expert: $0) }
        }
    }

    package var layout: ExpertLayout {
        ExpertLayout(
            hiddenSize: configuration.hiddenSize, intermediateSize: configuration.experts?.intermediateSize ?? 32,
            gateUpFormat: format, gateUpTable: table, downFormat: format, downTable: table,
            gateUpScaleFormat: scaleFormat, downScaleFormat: scaleFormat, isGated: configuration.activation.isGated)
    }

    package var refinement: RefinementLayout {
        RefinementLayout(
            hiddenSize: layout.hiddenSize, intermediateSize: layout.intermediateSize, refinesGateUp: true,
            refinesDown: true, isGated: layout.isGated)
    }

    /// An encoder-decoder, whose experts have no gate.
    package static var encoderDecoder: SmallModel {
        var model = SmallModel(layerCount: 4)
        model.configuration.attention = .relative(
            .init(headCount: 4, headSize: 16, bucketCount: 8, greatestDistance: 20))
        model.configuration.rotary = nil
        model.configuration.activation = .relu
        model.configuration.sparseLayers = [false, true, false, true]
        model.configuration.experts = .init(
            routedExpertCount: 3, expertsPerToken: 1, intermediateSize: 64, sharedIntermediateSize: 0,
            router: .init(
                scoring: .softmax, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1, groupScore: .maximum,
                normalizesWeights: false, weightScale: 1, capacity: 5))
        model.configuration.encoder = .init(layerCount: 2, startToken: 0, outputScale: 0.25)
        return model
    }

    /// Every expert in two planes.
    package static var nested: SmallModel {
        var model = SmallModel()
        model.format = .q4
        model.table = .nonLinear
        model.isRefined = { _ in true }
        return model
    }

    package func shape(_ tensor: TensorRequirement) -> MatrixShape {
        MatrixShape(
            rows: tensor.rows, columns: tensor.columns, format: tensor.mustBeF32 ? .f32 : format,
            layout: tensor.isRowMajor ? .rows : .panels, scaleFormat: tensor.mustBeF32 ? .f16 : scaleFormat)
    }

    package func bytes(_ tensor: TensorRequirement) -> [UInt8] {
        var random = SplitMix(
            seed: seed &+ UInt64(bitPattern: Int64("\(tensor.key)".utf8.reduce(7) { $0 &* 31 &+ Int($1) })))
        return random.bytes(shape(tensor).byteCount)
    }

    package func bytes(_ expert: ExpertKey) -> [UInt8] {
        var random = SplitMix(seed: seed &+ UInt64(expert.layer * 1000 + expert.expert + 77))
        var bytes = random.bytes(layout.byteCount)
        if isSparse(expert) {
            for index in bytes.indices where index % 256 >= 64 { bytes[index] = 0 }
        }
        return bytes
    }

    package func refinement(_ expert: ExpertKey) -> [UInt8] {
        var random = SplitMix(seed: seed &+ UInt64(expert.layer * 1000 + expert.expert + 7777))
        var bytes = random.bytes(refinement.byteCount)
        if isSparse(expert) {
            for index in bytes.indices where index % 256 >= 64 { bytes[index] = 0 }
        }
        return bytes
    }

    package func write(to path: String, replacing: Bool = false) throws {
        let writer = try ContainerWriter(path: path, replacing: replacing)
        try append(to: writer)
        try writer.finish(metadata: metadata, text: text)
    }

    package func append(to writer: ContainerWriter) throws {
        for tensor in tensors {
            try bytes(tensor).withUnsafeBytes { try writer.append(tensor: tensor.key, shape: shape(tensor), bytes: $0) }
        }
        for expert in experts {
            try bytes(expert).withUnsafeBytes {
                try writer.append(expert: expert, layout: layout, bytes: $0, packing: packing)
            }
            guard isRefined(expert) else { continue }
            _ = try refinement(expert).withUnsafeBytes {
                try writer.append(
                    refinementOf: expert, layout: refinement, bytes: $0, packed: PackedBlob(packing: $0, packing))
            }
        }
    }
}

extension ContainerReader {
    /// One tensor's bytes, verified.
    package func bytes(_ record: TensorRecord) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: record.byteCount)
        try bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            try readTensor(record, into: base)
        }
        return bytes
    }

    /// One expert as it is in memory.
    package func bytes(_ source: ExpertSource, verify: Bool = true) throws -> [UInt8] {
        let memory = try AlignedMemory(byteCount: source.byteCount)
        let scratch = try AlignedMemory(byteCount: max(1, source.scratchByteCount))
        try readExpert(
            source, into: memory.base,
            scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: source.scratchByteCount), verify: verify)
        return Array(UnsafeRawBufferPointer(start: memory.base, count: source.byteCount))
    }

    /// One expert's bytes, unpacked.
    package func bytes(_ record: ExpertRecord, verify: Bool = true) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: record.byteCount)
        var scratch = [UInt8](repeating: 0, count: record.storedByteCount)
        try bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            try scratch.withUnsafeMutableBytes { try readExpert(record, into: base, scratch: $0, verify: verify) }
        }
        return bytes
    }
}
