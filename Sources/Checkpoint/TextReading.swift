import Container
import JSON

/// Reads the text side of a checkpoint: tokenizer, chat template and generation defaults, each where there is one.
struct TextReading {
    var assets = TextAssets()
    var generationDefaults = GenerationDefaults()
    /// End-of-sequence ids of `generation_config.json`.
    var endTokens: [Int] = []
    var warnings: [String] = []
    var files: [InputFile] = []
    private let directory: String

    private static let tokenizerLimit = 128 << 20
    private static let smallLimit = 16 << 20

    init(directory: String, vocabularySize: Int) throws(CheckpointError) {
        self.directory = directory
        try readTokenizer(vocabularySize: vocabularySize)
        try readGeneration(vocabularySize: vocabularySize)
    }

    private mutating func bytes(_ name: String, atMost limit: Int) throws(CheckpointError) -> [UInt8]? {
        guard let file = try InputFile.ifPresent(path: "\(directory)/\(name)") else { return nil }
        files.append(file)
        return try file.allBytes(atMost: limit)
    }

    private mutating func readTokenizer(vocabularySize: Int) throws(CheckpointError) {
        let configPath = "\(directory)/tokenizer_config.json"
        assets.tokenizerConfigJSON = try bytes("tokenizer_config.json", atMost: Self.smallLimit)
        let config = try assets.tokenizerConfigJSON.map { (json) throws(CheckpointError) in
            try JSONValue(file: json, path: configPath)
        }
        assets.tokenizerJSON = try bytes("tokenizer.json", atMost: Self.tokenizerLimit)
        if assets.tokenizerJSON == nil, let ranks = try bytes("tiktoken.model", atMost: Self.smallLimit) {
            let model = try TiktokenModel(ranks, path: "\(directory)/tiktoken.model")
            let (vocabulary, leftOut) = try model.vocabulary(
                config: config, configPath: configPath, vocabularySize: vocabularySize)
            assets.tokenizerJSON = try vocabulary.tokenizerJSON()
            if !leftOut.isEmpty {
                warnings.append(
                    "The model has no place for these special tokens of its tokenizer_config.json, which are ordinary text "
                        + "for it: \(leftOut.joined(separator: ", "))")
            }
        }
        if assets.tokenizerJSON == nil {
            warnings.append(
                "There is no tokenizer.json and no tiktoken.model: the model can be traced and measured, but not served."
            )
        }
        // The file of its own is the newer form and wins, as in the reference implementation.
        if let template = try bytes("chat_template.jinja", atMost: Self.smallLimit) {
            guard let text = String(validating: template, as: UTF8.self) else {
                throw CheckpointError(.malformedJSON, "isn't UTF-8", path: "\(directory)/chat_template.jinja")
            }
            assets.chatTemplate = text
        } else if let config {
            assets.chatTemplate = try Self.template(in: config, path: configPath)
        }
        if assets.tokenizerJSON != nil, assets.chatTemplate == nil {
            warnings.append("There is no chat template: the model can complete text, but not hold a conversation.")
        }
    }

    /// A string, or a list of named ones of which `default` is meant for conversations.
    private static func template(in json: JSONValue, path: String) throws(CheckpointError) -> String? {
        guard let value = json["chat_template"], value != .null else { return nil }
        if let text = value.string { return text }
        let named = value.array ?? []
        let chosen = named.first { $0["name"]?.string == "default" } ?? (named.count == 1 ? named.first : nil)
        guard let text = chosen?["template"]?.string else {
            throw CheckpointError(
                .malformedJSON, "not a chat template", path: path, key: "chat_template",
                expected: "a string, or a list of named templates with one named 'default'", found: "\(value)")
        }
        return text
    }

    private mutating func readGeneration(vocabularySize: Int) throws(CheckpointError) {
        guard let json = try bytes("generation_config.json", atMost: Self.smallLimit) else { return }
        let path = "\(directory)/generation_config.json"
        let reader = try ConfigurationReader(try JSONValue(file: json, path: path), path: path)
        // Everything else there concerns the program that generates, not the model.
        endTokens = try reader.tokens("eos_token_id", below: vocabularySize)
        let temperature = try reader.numberIfPresent("temperature", orZero: true, atMost: 100)
        let samples = try reader.boolIfPresent("do_sample")
        generationDefaults = GenerationDefaults(
            temperature: samples == false ? 0 : temperature, topP: try reader.numberIfPresent("top_p", atMost: 1),
            topK: try reader.countIfPresent("top_k", in: 0...1 << 24),
            minP: try reader.numberIfPresent("min_p", orZero: true, atMost: 1),
            repetitionPenalty: try reader.numberIfPresent("repetition_penalty", atMost: 999))
    }
}
