import Compute
import Container
import Quantizer

/// What a container is, from its index alone.
struct Inspection: Encodable {
    /// Arrays of one kind in one format.
    struct Kind: Encodable {
        var name: String
        /// Such as `q4 linear, bf16 scales`.
        var format: String
        var matrixCount: Int
        var weightCount: Int
        /// Unpacked.
        var byteCount: Int
    }

    var path: String
    var fileByteCount: UInt64
    /// XXH3-64 of the index.
    var identity: String
    var configuration: ModelConfiguration
    var recipe: Recipe
    var generationDefaults: GenerationDefaults
    var sources: [SourceFile]
    var hasTokenizer: Bool
    var hasChatTemplate: Bool
    var kinds: [Kind]
    var weightCount = 0
    var bitsPerWeight = 0.0
    var residentByteCount = 0
    var expertCount: Int
    var packedExpertCount: Int
    var expertByteCount = 0
    var storedExpertByteCount = 0
    /// With all planes.
    var byteCountPerToken = 0
    /// With the experts' coarse planes alone; nil where none has two.
    var coarseByteCountPerToken: Int?
    var refinedExpertCount: Int
    /// Layers for multi-token prediction, which the counts above leave out, and their bytes in the file.
    var predictionLayerCount: Int
    var predictionByteCount: Int
    var losses: [RecordedLoss]

    init(_ reader: ContainerReader) {
        let metadata = reader.metadata
        path = reader.path
        fileByteCount = reader.fileByteCount
        identity = hexadecimal(reader.indexChecksum)
        configuration = metadata.configuration
        recipe = metadata.recipe
        generationDefaults = metadata.generationDefaults
        sources = metadata.sources
        hasTokenizer = reader.text.tokenizerJSON != nil
        hasChatTemplate = reader.text.chatTemplate != nil
        losses = metadata.losses ?? []
        predictionLayerCount = metadata.configuration.predictionLayers?.count ?? 0
        predictionByteCount = reader.prediction.storedByteCount
        let experts = Array(reader.experts.values)
        expertCount = experts.count
        packedExpertCount = experts.count { $0.codec != .stored }
        refinedExpertCount = reader.refinements.count
        kinds = Self.kinds(reader)
        for record in reader.tensors.values {
            residentByteCount += record.byteCount
            byteCountPerToken +=
                record.key.role.isEmbedding ? record.shape.strideByteCount : record.byteCount
        }
        for record in experts {
            expertByteCount += record.byteCount
            storedExpertByteCount += record.storedByteCount
        }
        let coarseByteCount = expertByteCount
        for record in reader.refinements.values {
            expertByteCount += record.byteCount
            storedExpertByteCount += record.storedByteCount
        }
        if let shape = metadata.configuration.experts {
            // Of average size, where they differ.
            if refinedExpertCount > 0 {
                coarseByteCountPerToken =
                    byteCountPerToken + coarseByteCount * shape.expertsPerToken / shape.routedExpertCount
            }
            byteCountPerToken += expertByteCount * shape.expertsPerToken / shape.routedExpertCount
        }
        weightCount = kinds.reduce(0) { $0 + $1.weightCount }
        let stored = residentByteCount + storedExpertByteCount
        bitsPerWeight = weightCount > 0 ? Double(stored) * 8 / Double(weightCount) : 0
    }

    private static func kinds(_ reader: ContainerReader) -> [Kind] {
        var kinds: [String: Kind] = [:]
        var order: [String: Int] = [:]
        func add(_ name: String, _ shape: MatrixShape, _ table: CodeTable, matrices: Int, place: Int) {
            let format = format(shape, table)
            let key = "\(name) \(format)"
            order[key] = place
            kinds[
                key, default: Kind(name: name, format: format, matrixCount: 0, weightCount: 0, byteCount: 0)
            ].matrixCount += matrices
            kinds[key]?.weightCount += matrices * shape.rows * shape.columns
            kinds[key]?.byteCount += matrices * shape.byteCount
        }
        for record in reader.tensors.values {
            add(record.key.role.name, record.shape, record.table, matrices: 1, place: Int(record.key.role.rawValue))
        }
        for record in reader.experts.values {
            let layout = record.layout
            let name = layout.isGated ? "experts.gate_up" : "experts.up"
            add(name, layout.gateShape, layout.gateUpTable, matrices: layout.gateUpCount, place: 1000)
            add("experts.down", layout.downShape, layout.downTable, matrices: 1, place: 1001)
        }
        for record in reader.refinements.values {
            // Their weights are the first plane's.
            let key = "refinements to q8"
            order[key] = 1002
            kinds[
                key, default: Kind(name: "experts.*", format: key, matrixCount: 0, weightCount: 0, byteCount: 0)
            ].matrixCount +=
                (record.layout.refinesGateUp ? record.layout.gateUpCount : 0) + (record.layout.refinesDown ? 1 : 0)
            kinds[key]?.byteCount += record.byteCount
        }
        return kinds.sorted { (order[$0.key] ?? 0, $0.key) < (order[$1.key] ?? 0, $1.key) }.map(\.value)
    }

    private static func format(_ shape: MatrixShape, _ table: CodeTable) -> String {
        let name =
            switch table {
            case .linear: " linear"
            case .nonLinear: " non-linear"
            case .e2m1: " e2m1"
            }
        let tables = shape.format == .q4 ? name : ""
        return "\(shape.format)\(tables)" + (shape.format.isQuantized ? ", \(shape.scaleFormat) scales" : "")
    }
}
