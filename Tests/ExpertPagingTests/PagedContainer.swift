import Compute
import Container
import Glibc
import TestSupport

/// A small container on disk whose experts hold known bytes: random ones, or (every third) ones that LZ4 packs.
final class PagedContainer {
    static let layerCount = 3
    static let expertCount = 12
    static let expertsPerToken = 3

    let directory: TemporaryDirectory
    let path: String
    let configuration: ModelConfiguration
    private(set) var blobs: [ExpertKey: [UInt8]] = [:]

    /// With `hasTwoSizes` the last layer's experts are in q8 and the others' in q4. With `isLarge` they are large enough to be
    /// read in two parts, and none is packed. With `isNested` every expert has a second plane, and LZ4 packs every other
    /// one.
    init(
        hasTwoSizes: Bool = false, isLarge: Bool = false, packing: Packing = .auto, isNested: Bool = false
    ) throws {
        let hiddenSize = isLarge ? 256 : 64
        let intermediateSize = isLarge ? 512 : 96
        let packing = isLarge ? .never : packing
        directory = try TemporaryDirectory()
        path = "\(directory.path)/test.moe"
        configuration = ModelConfiguration(
            family: "test", vocabularySize: 32, hiddenSize: hiddenSize, layerCount: 1 + Self.layerCount,
            contextLength: 64,
            normEpsilon: 1e-6,
            attention: .latent(
                .init(
                    headCount: 2, queryLatentRank: nil, keyValueLatentRank: 32, plainHeadSize: 16, ropeHeadSize: 8,
                    valueHeadSize: 16, latentNormEpsilon: 1e-6, softmaxScale: 0.2)),
            rotary: .init(theta: 10_000, pairing: .interleaved, yarn: nil), activation: .silu,
            denseIntermediateSize: 64, sparseLayers: [false] + Array(repeating: true, count: Self.layerCount),
            experts: .init(
                routedExpertCount: Self.expertCount, expertsPerToken: Self.expertsPerToken,
                intermediateSize: intermediateSize,
                sharedIntermediateSize: 0,
                router: .init(
                    scoring: .sigmoid, hasSelectionBias: false, groupCount: 1, groupsPerToken: 1, groupScore: .maximum,
                    normalizesWeights: true, weightScale: 1)),
            beginToken: nil, endTokens: [])

        let writer = try ContainerWriter(path: path, replacing: false)
        let tensors =
            configuration.modelTensors + (0..<configuration.layerCount).flatMap { configuration.tensors(ofLayer: $0) }
        for tensor in tensors {
            let shape = MatrixShape(
                rows: tensor.rows, columns: tensor.columns, format: .f32,
                layout: tensor.isRowMajor ? .rows : .panels)
            let bytes = [UInt8](repeating: 0, count: shape.byteCount)
            try bytes.withUnsafeBytes { try writer.append(tensor: tensor.key, shape: shape, bytes: $0) }
        }
        var random = SplitMix(seed: 7)
        for layer in 1...Self.layerCount {
            let table: CodeTable = isNested ? .nonLinear : .linear
            let format: BlockFormat = hasTwoSizes && layer == Self.layerCount ? .q8 : .q4
            let layout = ExpertLayout(
                hiddenSize: hiddenSize, intermediateSize: intermediateSize, gateUpFormat: format, gateUpTable: table,
                downFormat: format, downTable: table)
            let refinement = RefinementLayout(
                hiddenSize: hiddenSize, intermediateSize: intermediateSize, refinesGateUp: true, refinesDown: true)
            for expert in 0..<Self.expertCount {
                let key = ExpertKey(layer: layer, expert: expert)
                let bytes: [UInt8] = (0..<layout.byteCount).map {
                    expert % 3 == 0
                        ? UInt8(truncatingIfNeeded: $0 / 512 + expert + layer)
                        : UInt8(truncatingIfNeeded: random.next())
                }
                blobs[key] = bytes
                try bytes.withUnsafeBytes {
                    try writer.append(expert: key, layout: layout, bytes: $0, packing: packing)
                }
                guard isNested else { continue }
                let plane: [UInt8] = (0..<refinement.byteCount).map {
                    expert % 2 == 0
                        ? UInt8(truncatingIfNeeded: $0 / 512 + expert + layer)
                        : UInt8(truncatingIfNeeded: random.next())
                }
                _ = try plane.withUnsafeBytes {
                    try writer.append(
                        refinementOf: key, layout: refinement, bytes: $0, packed: PackedBlob(packing: $0, packing))
                }
            }
        }
        try writer.finish(
            metadata: ModelMetadata(
                configuration: configuration, generationDefaults: GenerationDefaults(),
                recipe: Recipe(tool: "test", type: "int4", isPure: true, packing: packing), sources: []),
            text: TextAssets())
    }

    static let hasDirectReads: Bool = {
        guard let file = try? PagedContainer(), let reader = try? ContainerReader(path: file.path) else { return false }
        return (try? BlobFile(reader, isDirect: true)) != nil
    }()

    var allKeys: [ExpertKey] { blobs.keys.sorted { ($0.layer, $0.expert) < ($1.layer, $1.expert) } }

    /// Flips one bit of an expert's stored bytes, in the middle if nothing else is said, or flips it back.
    func flipBit(of record: ExpertRecord, at place: Int? = nil) throws {
        let file = open(path, O_RDWR)
        defer { close(file) }
        let offset = off_t(record.offset) + off_t(place ?? record.storedByteCount / 2)
        var byte: UInt8 = 0
        guard file >= 0, pread(file, &byte, 1, offset) == 1 else {
            throw SystemCallFailure(call: "pread", code: errno)
        }
        byte ^= 0x10
        guard pwrite(file, &byte, 1, offset) == 1 else { throw SystemCallFailure(call: "pwrite", code: errno) }
    }
}
