import JSON

extension TokenizerFile {
    /// - Parameter normalized: added tokens that stand for their normalised texts, as in the reference.
    func tokenDecoder(
        _ vocabulary: Vocabulary, isByteLevel: Bool, normalized: [AddedToken]
    ) throws(TokenizerError) -> TokenDecoder {
        let field = root["decoder"]
        var steps = try field.steps("decoders")[...]
        func type(_ step: FileField?) throws(TokenizerError) -> String? { try step?["type"].string() }
        guard let first = steps.first, let firstType = try type(first) else {
            throw TokenizerError(.unsupported, field: field.path, "a decoder is expected, null isn't supported")
        }
        if isByteLevel || firstType == "ByteLevel" {
            guard isByteLevel, steps.count == 1, firstType == "ByteLevel" else {
                throw first.unsupported("\(firstType) with a pre-tokenizer of another kind")
            }
            var tokens = tokens
            for token in normalized { tokens[Int(token.id)] = String(decoding: token.content, as: UTF8.self) }
            return TokenDecoder(byteLevel: normalized.isEmpty ? vocabulary : Vocabulary(byteLevel: tokens))
        }

        var texts = tokens.map { $0.map { Array($0.utf8) } }
        for token in normalized { texts[Int(token.id)] = token.content }
        if firstType == "Metaspace" {
            if steps.count > 1 { throw steps[1].unsupported("\(try type(steps[1]) ?? "") after Metaspace") }
            let space = try Metaspace(first)
            let raw = texts
            texts = raw.map { $0.map { $0.replacing(space.replacement, with: [UInt8(ascii: " ")]) } }
            return TokenDecoder(
                texts, takesBytes: false, beginning: space.scheme == .never ? .kept : .withoutMarks(space.replacement))
        }
        while let step = steps.first, try type(step) == "Replace" {
            let pattern = try Self.content(step["pattern"]["String"])
            guard !pattern.isEmpty else { throw step["pattern"].malformed("it is empty") }
            let content = try Self.content(step["content"])
            texts = texts.map { $0.map { $0.replacing(pattern, with: content) } }
            steps.removeFirst()
        }
        var takesBytes = false
        if try type(steps.first) == "ByteFallback" {
            takesBytes = true
            steps.removeFirst()
        }
        var beginning = TokenDecoder.Beginning.kept
        if try type(steps.first) == "Fuse" {
            steps.removeFirst()
            if let step = steps.first, try type(step) == "Strip" {
                beginning = try Self.beginning(stripped: step)
                steps.removeFirst()
            }
        }
        if let step = steps.first { throw step.unsupported("\(try type(step) ?? ""), at this place,") }
        return TokenDecoder(texts, takesBytes: takesBytes, beginning: beginning)
    }

    private static func beginning(stripped step: FileField) throws(TokenizerError) -> TokenDecoder.Beginning {
        guard try step["stop"].integer() == 0 else { throw step["stop"].unsupported("anything but 0") }
        let count = try step["start"].integer()
        let content = try step["content"].string()
        guard count >= 0, content.unicodeScalars.count == 1 else {
            throw step.malformed("a count and one character are expected")
        }
        return .stripped(content: Array(content.utf8), count: count)
    }
}
