import JSON

extension TokenizerFile {
    func normalizer() throws(TokenizerError) -> Normalizer {
        var normalizer = Normalizer()
        let field = root["normalizer"]
        for step in try field.steps("normalizers") {
            guard normalizer.steps.count < Normalizer.greatestStepCount else {
                throw TokenizerError(.tooLarge, field: step.path, "more than \(Normalizer.greatestStepCount) steps")
            }
            switch try step["type"].string() {
            case "Prepend": normalizer.steps.append(.prepend(try Self.content(step["prepend"])))
            case "Replace": normalizer.steps.append(try Self.replacement(step))
            case "NFC": normalizer.steps.append(.compose)
            case "Strip":
                normalizer.steps.append(
                    .stripSpace(
                        left: try step["strip_left"].bool(default: true),
                        right: try step["strip_right"].bool(default: true)))
            case "Precompiled":
                let encoded = step["precompiled_charsmap"]
                // The reference takes none for no mapping.
                if try encoded.stringIfPresent() ?? "" == "" { continue }
                normalizer.steps.append(.map(try CharacterMap(base64: encoded)))
            case let type: throw step.unsupported(type)
            }
        }
        return normalizer
    }

    private static func replacement(_ step: FileField) throws(TokenizerError) -> Normalizer.Step {
        let content = try content(step["content"])
        let pattern = step["pattern"]
        if let regex = try pattern["Regex"].stringIfPresent() {
            return .replacePattern(try PreTokenizer.Patterns(regex, field: pattern.path), content)
        }
        let text = try Self.content(pattern["String"])
        guard !text.isEmpty else { throw pattern.malformed("it is empty") }
        return .replaceText(text, content)
    }

    static func content(_ field: FileField) throws(TokenizerError) -> [UInt8] {
        let content = Array(try field.string().utf8)
        guard content.count <= Normalizer.longestContent else {
            throw TokenizerError(
                .tooLarge, field: field.path,
                "\(content.count) bytes, where at most \(Normalizer.longestContent) are accepted")
        }
        return content
    }
}
