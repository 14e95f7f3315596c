extension TokenizerFile {
    /// What the post-processor puts before a text and after it.
    func affixes() throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
        var found: (prefix: [Int32], suffix: [Int32])?
        for processor in try root["post_processor"].steps("processors") {
            switch try processor["type"].string() {
            case "ByteLevel": continue  // Only moves offsets, which nobody here asks for.
            case "TemplateProcessing" where found == nil: found = try affixes(ofTemplate: processor)
            case let type: throw processor.unsupported("\(type), here,")
            }
        }
        return found ?? ([], [])
    }

    private func affixes(
        ofTemplate processor: FileField
    ) throws(TokenizerError) -> (prefix: [Int32], suffix: [Int32]) {
        let single = processor["single"]
        var prefix: [Int32] = []
        var suffix: [Int32] = []
        var sequenceCount = 0
        for part in try single.elements() {
            if let name = try part["SpecialToken"]["id"].stringIfPresent() {
                let ids = try processor["special_tokens"][name]["ids"].elements()
                guard (1...16).contains(ids.count) else {
                    throw single.malformed("\(name) has no valid ids in special_tokens")
                }
                for id in ids {
                    guard let id = Int32(exactly: try id.integer()), tokens.indices.contains(Int(id)) else {
                        throw id.malformed("not an id of the vocabulary, \(id.value) found")
                    }
                    if sequenceCount == 0 { prefix.append(id) } else { suffix.append(id) }
                }
            } else if try part["Sequence"]["id"].stringIfPresent() == "A" {
                sequenceCount += 1
            } else {
                throw part.unsupported("\(part.value)")
            }
        }
        guard sequenceCount == 1, prefix.count + suffix.count <= 64 else {
            throw single.unsupported("anything but special tokens around the sequence A")
        }
        return (prefix, suffix)
    }
}
