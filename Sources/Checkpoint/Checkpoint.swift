package import Container
import JSON

/// A published checkpoint: its configuration and tensors in canonical terms, checked, with nothing loaded yet.
package struct Checkpoint: Sendable {
    /// Of the folder, or of the file that everything is in.
    package let path: String
    package let configuration: ModelConfiguration
    package let generationDefaults: GenerationDefaults
    package let text: TextAssets
    /// In the order of the container's index: the model's own, then the layers'.
    package let tensors: [SourceTensor]
    /// By layer and number.
    package let experts: [SourceExpert]
    package let skipped: [Skipped]
    /// What a person should know, each a sentence.
    package let warnings: [String]
    /// Every file that something was read from, weights first.
    package let files: [InputFile]

    /// Tensors that are there and aren't used.
    package struct Skipped: Sendable, Equatable {
        package var reason: String
        package var tensorCount: Int
        package var byteCount: Int
    }

    static let configurationName = "config.json"
    private static let configurationLimit = 16 << 20

    /// Opens a folder with `config.json` and safetensors files, and checks that every tensor that the configuration
    /// calls for is there in its shape, and no other.
    ///
    /// - Parameter takesPrediction: whether layers for multi-token prediction are taken too. Their embeddings and heads are
    ///   compared with the model's own, which reads both.
    package init(directory: String, takesPrediction: Bool = true) throws(CheckpointError) {
        path = directory
        let file = try InputFile(path: "\(directory)/\(Self.configurationName)")
        let json = try JSONValue(file: try file.allBytes(atMost: Self.configurationLimit), path: file.path)
        var reading = try Self.read(json, path: file.path)
        let text = try TextReading(directory: directory, vocabularySize: reading.configuration.vocabularySize)
        let weights = try WeightFiles(directory: directory)
        let notes = try reading.addPrediction(weights, isTaken: takesPrediction)
        try reading.findEmbeddings(weights)
        let map = try TensorMap(reading, weights)

        var configuration = reading.configuration
        configuration.endTokens += text.endTokens.filter { !configuration.endTokens.contains($0) }
        self.configuration = configuration
        generationDefaults = text.generationDefaults
        self.text = text.assets
        tensors = map.tensors
        experts = map.experts
        skipped = map.skipped
        warnings = text.warnings + notes
        files = weights.files.map(\.file) + [file] + text.files
    }

    /// What a `config.json` says, without a checkpoint around it.
    static func read(_ json: JSONValue, path: String) throws(CheckpointError) -> FamilyReading {
        let modelType = json["model_type"]?.string
        let family = try Families.named(modelType, path: path)
        let reader = try ConfigurationReader(json, path: path)
        let reading = try family.read(reader, modelType: modelType ?? "")
        try reader.finish()
        if let problem = reading.configuration.problem {
            throw CheckpointError(
                .configuration, "the configuration describes no model that can be", path: path, key: problem.field,
                expected: problem.expected, found: problem.found)
        }
        return reading
    }

    /// The canonical configuration of a `config.json`'s text.
    package static func configuration(
        json: [UInt8], path: String = configurationName
    ) throws(CheckpointError) -> ModelConfiguration {
        try read(try JSONValue(file: json, path: path), path: path).configuration
    }
}

/// Brings the names that a family needs together with those that the files have.
struct TensorMap {
    var tensors: [SourceTensor] = []
    var experts: [SourceExpert] = []
    var skipped: [Checkpoint.Skipped] = []

    init(_ reading: FamilyReading, _ weights: some WeightSource) throws(CheckpointError) {
        var used = Set<String>()
        func find(
            _ name: String, _ part: TensorPart?, _ rows: Int, _ columns: Int, isVector: Bool = false
        ) throws(CheckpointError) -> SourceMatrix {
            try weights.matrix(
                name, part, rows: rows, columns: columns, isVector: isVector, encoding: reading.encoding, used: &used)
        }
        let configuration = reading.configuration
        let layers = configuration.storedLayers
        for tensor in configuration.modelTensors + layers.flatMap(configuration.tensors(ofLayer:)) {
            let matrix = try find(
                reading.nameOfTensor(tensor.key), reading.partOfTensor(tensor.key), tensor.rows, tensor.columns,
                isVector: tensor.isVector)
            tensors.append(SourceTensor(requirement: tensor, matrix: matrix))
        }
        if let experts = configuration.experts {
            let hidden = configuration.hiddenSize
            let width = experts.intermediateSize
            for layer in layers where configuration.isSparse(layer) {
                for expert in 0..<experts.routedExpertCount {
                    let key = ExpertKey(layer: layer, expert: expert)
                    func matrix(
                        _ part: ExpertPart, _ rows: Int, _ columns: Int
                    ) throws(CheckpointError) -> SourceMatrix {
                        let name = reading.nameOfExpert(part, key)
                        return try find(name, reading.partOfExpert(part, key), rows, columns)
                    }
                    let parts: [ExpertPart] = configuration.activation.isGated ? [.gate, .up] : [.up]
                    let gateUp = try parts.map { part throws(CheckpointError) in try matrix(part, width, hidden) }
                    self.experts.append(
                        SourceExpert(key: key, gateUp: gateUp, down: try matrix(.down, hidden, width)))
                }
            }
        }
        try skip(weights.listed.filter { !used.contains($0.name) }, reading.skipped)
    }

    private mutating func skip(_ tensors: [ListedTensor], _ sources: [SkippedSource]) throws(CheckpointError) {
        // What has no elements changes nothing.
        let sources = sources + [SkippedSource(prefix: "", reason: "tensors without elements")]
        var counts = sources.map { Checkpoint.Skipped(reason: $0.reason, tensorCount: 0, byteCount: 0) }
        for tensor in tensors.sorted(by: { $0.name < $1.name }) {
            let named = sources.dropLast().firstIndex { tensor.name.hasPrefix($0.prefix) }
            guard let index = named ?? (tensor.byteCount == 0 ? sources.count - 1 : nil) else {
                throw CheckpointError(
                    .unexpectedTensor, "nothing is known of this tensor, so the model might compute something else",
                    path: tensor.path, offset: tensor.offset, tensor: tensor.name, found: tensor.form)
            }
            counts[index].tensorCount += 1
            counts[index].byteCount += tensor.byteCount
        }
        skipped = counts.filter { $0.tensorCount > 0 }
    }
}
