import Container
import JSON

/// The text side of a model in GGUF: the vocabulary as the container keeps tokenizers, the chat template, and how to
/// generate.
struct GGUFText {
    var assets = TextAssets()
    var generationDefaults = GenerationDefaults()
    var warnings: [String] = []

    init(_ model: GGUFModel, vocabularySize: Int) throws(CheckpointError) {
        let file = model.files[0]
        generationDefaults = try Self.generationDefaults(file)
        assets.chatTemplate = file.text("tokenizer.chat_template")
        guard GGUFVocabulary.isThere(in: file) else {
            warnings.append("There is no tokenizer: the model can be traced and measured, but not served.")
            return
        }
        let vocabulary = try GGUFVocabulary(file, vocabularySize: vocabularySize)
        assets.tokenizerJSON = try vocabulary.tokenizerJSON()
        assets.tokenizerConfigJSON = try vocabulary.configJSON()
        if assets.chatTemplate == nil {
            warnings.append("There is no chat template: the model can complete text, but not hold a conversation.")
        }
    }

    private static func generationDefaults(_ file: GGUFFile) throws(CheckpointError) -> GenerationDefaults {
        let prefix = "general.sampling."
        let members = file.values.filter { $0.key.hasPrefix(prefix) }.map { key, value in
            JSONValue.Member(name: String(key.dropFirst(prefix.count)), value: value.json ?? .null)
        }
        let reader = try ConfigurationReader(.object(members), path: file.path, prefix: prefix)
        // The rest tells samplers apart that nobody here has.
        return GenerationDefaults(
            temperature: try reader.numberIfPresent("temp", orZero: true, atMost: 100),
            topP: try reader.numberIfPresent("top_p", atMost: 1),
            topK: try reader.countIfPresent("top_k", in: 0...1 << 24),
            minP: try reader.numberIfPresent("min_p", orZero: true, atMost: 1),
            repetitionPenalty: try reader.numberIfPresent("penalty_repeat", atMost: 999))
    }
}
