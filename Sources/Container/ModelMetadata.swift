/// What a container says of itself, stored as JSON.
package struct ModelMetadata: Codable, Sendable, Equatable {
    package var configuration: ModelConfiguration
    package var generationDefaults: GenerationDefaults
    package var recipe: Recipe
    /// The files that the model was made from.
    package var sources: [SourceFile]
    /// By layer and kind; nil where nobody measured it.
    package var losses: [RecordedLoss]?

    package init(
        configuration: ModelConfiguration, generationDefaults: GenerationDefaults, recipe: Recipe,
        sources: [SourceFile], losses: [RecordedLoss]? = nil
    ) {
        self.configuration = configuration
        self.generationDefaults = generationDefaults
        self.recipe = recipe
        self.sources = sources
        self.losses = losses
    }
}

/// Sampling values that the model's makers recommend. nil: they say nothing.
package struct GenerationDefaults: Codable, Sendable, Equatable {
    package var temperature: Double?
    package var topP: Double?
    package var topK: Int?
    package var minP: Double?
    package var repetitionPenalty: Double?

    package init(
        temperature: Double? = nil, topP: Double? = nil, topK: Int? = nil, minP: Double? = nil,
        repetitionPenalty: Double? = nil
    ) {
        self.temperature = temperature
        self.topP = topP
        self.topK = topK
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
    }
}

/// How the container was made.
package struct Recipe: Codable, Sendable, Equatable {
    /// The importance matrix that weighted the columns.
    package var importance: ImportanceSource?
    /// `rtn`, `search` or `gptq`; nil where nothing says.
    package var method: String?
    /// The tool and its version.
    package var tool: String
    /// `int4`, `int8`, `bf16` or `f32`.
    package var type: String
    /// Every matrix has the one type, with no mix.
    package var isPure: Bool
    package var packing: Packing
    /// What the weights were drawn from, 0 to 2^53; nil for a model that was made from a checkpoint.
    package var randomSeed: Int?
    /// What the rules are called by: a built-in recipe, or `target` for types that were picked for a size.
    package var name: String?
    /// `PATTERN=TYPE`, of which the first that matches a tensor's name decides: with them the formats can be made again.
    package var rules: [String]?
    /// Bits a weight that the rules were picked for.
    package var targetBits: Double?

    package init(
        tool: String, type: String, isPure: Bool, packing: Packing, randomSeed: Int? = nil, name: String? = nil,
        rules: [String]? = nil, targetBits: Double? = nil
    ) {
        self.tool = tool
        self.type = type
        self.isPure = isPure
        self.packing = packing
        self.randomSeed = randomSeed
        self.name = name
        self.rules = rules
        self.targetBits = targetBits
    }
}

/// Which importance matrix a conversion used, and what that was made from.
package struct ImportanceSource: Codable, Sendable, Equatable {
    /// XXH3-64 of its contents, in 16 hexadecimal digits.
    package var fingerprint: String
    /// XXH3-64 of the texts that it was calibrated on, in 16 hexadecimal digits each; empty when nobody said. Nobody
    /// should evaluate the model on one of them.
    package var textChecksums: [String]

    package init(fingerprint: String, textChecksums: [String]) {
        self.fingerprint = fingerprint
        self.textChecksums = textChecksums
    }
}

/// One file of the checkpoint.
package struct SourceFile: Codable, Sendable, Equatable {
    package var name: String
    package var byteCount: Int
    /// XXH3-64 of the file, in 16 hexadecimal digits: JSON's numbers don't hold 64 bits everywhere.
    package var checksum: String

    package init(name: String, byteCount: Int, checksum: UInt64) {
        self.name = name
        self.byteCount = byteCount
        self.checksum = hexadecimal(checksum)
    }
}

/// The texts that turn a conversation into tokens, each as it stood in the checkpoint; nil where it had none.
package struct TextAssets: Sendable, Equatable {
    package var tokenizerJSON: [UInt8]?
    package var tokenizerConfigJSON: [UInt8]?
    package var chatTemplate: String?

    package init(tokenizerJSON: [UInt8]? = nil, tokenizerConfigJSON: [UInt8]? = nil, chatTemplate: String? = nil) {
        self.tokenizerJSON = tokenizerJSON
        self.tokenizerConfigJSON = tokenizerConfigJSON
        self.chatTemplate = chatTemplate
    }
}

/// Sixteen digits, as checksums are shown and stored.
package func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}
