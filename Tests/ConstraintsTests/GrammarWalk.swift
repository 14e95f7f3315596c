import Constraints
import JSON

/// Numbers that look random, the same in every run (SplitMix64).
struct WalkNumbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func below(_ limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(limit))
    }
}

/// Texts of a grammar.
enum GrammarWalk {
    /// Tokens as a vocabulary has them: every byte, and pieces that end in the middle of characters and of JSON.
    static let vocabulary: [[UInt8]] =
        (0...255).map { [UInt8($0)] }
        + [
            "{\"", "\":", "\": ", "\", \"", "},", "}]", "]}", "[{", "null", "true", "fal", "12", ".5", "e-", "\\u",
            "\\ud8",
            "d83d",
        ].map { Array($0.utf8) } + [[0xF0, 0x9F], [0x98, 0x80], [0x61, 0xC3], [0xA9, 0x22], [0x80, 0x80]]

    /// Draws tokens until the text is complete and a coin says so, as a model would that knows nothing.
    ///
    /// - Returns: nil if it isn't complete after so many tokens.
    static func text(
        _ grammar: Grammar, seed: UInt64, tokenCount: Int = 3000, vocabulary: [[UInt8]] = vocabulary
    ) throws -> [UInt8]? {
        var numbers = WalkNumbers(seed: seed)
        var matcher = GrammarMatcher(grammar)
        var text: [UInt8] = []
        for _ in 0..<tokenCount {
            if matcher.isFinished || (matcher.isComplete && numbers.below(2) == 0) { return text }
            // Closing characters are tried more often, so that texts end.
            var tries = 0
            while true {
                let closing = Array("\"}]".utf8)
                let isClosing = numbers.below(4) == 0
                let token = isClosing ? [closing[numbers.below(3)]] : vocabulary[numbers.below(vocabulary.count)]
                if matcher.accepts(token[...]) {
                    text += token
                    matcher.takeAccepted()
                    break
                }
                tries += 1
                if tries > 300 {
                    let all = vocabulary.filter { matcher.accepts($0[...]) }
                    guard !all.isEmpty else { throw Dead(text: String(decoding: text, as: UTF8.self)) }
                    let token = all[numbers.below(all.count)]
                    text += token
                    guard matcher.take(token[...]) else { throw Dead(text: String(decoding: text, as: UTF8.self)) }
                    break
                }
            }
        }
        return nil
    }

    /// A text that can't go on.
    struct Dead: Error {
        let text: String
    }

    static func grammar(
        _ avoiding: [String] = [], _ start: (inout GrammarBuilder) throws -> Grammar.StateID
    ) throws -> Grammar {
        var builder = GrammarBuilder(avoiding: avoiding)
        builder.setRoot(try start(&builder))
        return try Grammar(builder, path: "schema")
    }

    static func schema(_ text: String) throws -> Grammar {
        let schema = try json(text)
        return try grammar { builder in
            try builder.call(SchemaReader.values(of: schema, path: "schema", in: &builder), then: builder.end)
        }
    }

    static func json(_ text: String) throws -> JSONValue {
        try JSONValue(parsing: Array(text.utf8), limits: JSONLimits(byteCount: 1 << 22))
    }

    /// Whether a text is one of the grammar's, taken a byte at a time.
    static func takes(_ grammar: Grammar, _ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var matcher = GrammarMatcher(grammar)
        for byte in bytes {
            guard matcher.take([byte]) else { return false }
        }
        return matcher.isComplete
    }
}

extension GrammarMatcher {
    /// Takes bytes if they are accepted.
    mutating func take(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard accepts(bytes) else { return false }
        takeAccepted()
        return true
    }
}
