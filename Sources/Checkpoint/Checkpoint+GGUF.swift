import Container
import JSON

extension Checkpoint {
    /// Opens what somebody named: the folder of a published model, or a GGUF file (of several parts the first).
    ///
    /// - Parameter takesPrediction: whether layers for multi-token prediction are taken too.
    package init(path: String, takesPrediction: Bool = true) throws(CheckpointError) {
        if InputFile.isRegular(path: path) {
            try self.init(gguf: path, takesPrediction: takesPrediction)
        } else {
            try self.init(directory: path, takesPrediction: takesPrediction)
        }
    }

    /// Opens a model in GGUF, with its tokenizer, and checks that every tensor that its metadata call for is there in its
    /// shape, and no other.
    private init(gguf path: String, takesPrediction: Bool) throws(CheckpointError) {
        let model = try GGUFModel(path: path)
        let architecture = try GGUFArchitecture.of(model)
        var file = try GGUFConfiguration(model, architecture: architecture.name)
        try file.readCommon()
        let modelType = try architecture.read(&file)
        try file.readPositions()
        file.set("model_type", .string(modelType), from: "general.architecture")
        try file.keys.finish()
        var reading: FamilyReading
        do throws(CheckpointError) {
            reading = try Self.read(file.json, path: path)
        } catch {
            throw file.translated(error)
        }
        let text = try GGUFText(model, vocabularySize: reading.configuration.vocabularySize)
        try reading.take(architecture, model)
        let weights = GGUFWeights(
            model, reading.configuration, alternatesHalves: architecture.alternatesHalves)
        let notes = try reading.addPrediction(weights, isTaken: takesPrediction)
        let map = try TensorMap(reading, weights)

        self.path = path
        configuration = reading.configuration
        generationDefaults = text.generationDefaults
        self.text = text.assets
        tensors = map.tensors
        experts = map.experts
        skipped = map.skipped
        warnings = file.warnings + text.warnings + notes
        files = model.files.map(\.file)
    }
}

extension FamilyReading {
    /// Looks for everything where GGUF files have it.
    fileprivate mutating func take(_ architecture: GGUFArchitecture, _ model: GGUFModel) throws(CheckpointError) {
        let sharesEmbedding = model.entries[GGUFNames.head] == nil
        // A name that no tensor has is missed by the role's own.
        nameOfTensor = { architecture.name(of: $0, sharesEmbedding: sharesEmbedding) ?? "\($0)" }
        nameOfExpert = GGUFNames.name(of:_:)
        partOfTensor = { _ in nil }
        partOfExpert = { _, _ in nil }
        prefixOfLayer = GGUFNames.prefix(ofLayer:)
        skipped = []
        if let factors = model.entries[GGUFNames.frequencyFactors] { try takeFactors(factors) }
    }

    /// The converter writes what each frequency is divided by, and not how that came about.
    private mutating func takeFactors(_ entry: GGUFModel.Entry) throws(CheckpointError) {
        func failure(_ message: String, expected: String, found: String) -> CheckpointError {
            CheckpointError(
                .wrongTensor, message, path: entry.file.path, offset: entry.tensor.offset, tensor: entry.tensor.name,
                expected: expected, found: found)
        }
        let count = (configuration.attention.ropeHeadSize ?? 0) / 2
        guard entry.tensor.dimensions == [count] else {
            throw failure(
                "not a factor for each rotated pair", expected: "\([count])", found: "\(entry.tensor.dimensions)")
        }
        let factors = try entry.file.floats(of: entry.tensor)
        if let factor = factors.first(where: { !($0 > 0 && $0 < 1e9) }) {
            throw failure("a factor that no frequency has", expected: "numbers above 0", found: "\(factor)")
        }
        let isOne = factors.allSatisfy { $0 == 1 }
        guard isOne || (configuration.rotary?.yarn == nil && configuration.rotary?.divisors == nil) else {
            throw failure(
                "rotary frequencies that are scaled twice", expected: "factors of 1, for rope.scaling.type scales too",
                found: "others")
        }
        if !isOne { configuration.rotary?.divisors = factors }
    }
}
