import Foundation

/// A byte-level `tokenizer.json` without merges: a token for each byte.
enum ByteTokenizer {
    struct Added {
        var id: Int
        var text: String
        var isSpecial = true
    }

    /// - Parameter ids: of the bytes that have a token.
    static func json(ids: [UInt8: Int], _ added: [Added]) throws -> String {
        func json(_ text: String) throws -> String { String(decoding: try JSONEncoder().encode(text), as: UTF8.self) }
        var entries: [String] = []
        var extra: UInt32 = 256
        for byte in UInt8.min ... .max {
            // GPT-2's alphabet: printable bytes stand for themselves.
            let isPrintable = 33...126 ~= byte || 161...172 ~= byte || 174...255 ~= byte
            let scalar = Unicode.Scalar(isPrintable ? UInt32(byte) : extra) ?? " "
            if !isPrintable { extra += 1 }
            if let id = ids[byte] { entries.append("\(try json(String(scalar))): \(id)") }
        }
        let tokens = try added.map {
            """
            {"id": \($0.id), "content": \(try json($0.text)), "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": \($0.isSpecial)}
            """
        }
        let bytes = #"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}"#
        return """
            {"version": "1.0", "added_tokens": [\(tokens.joined(separator: ", "))], "normalizer": null,
             "pre_tokenizer": \(bytes), "post_processor": null, "decoder": \(bytes),
             "model": {"type": "BPE", "vocab": {\(entries.joined(separator: ", "))}, "merges": []}}
            """
    }
}
