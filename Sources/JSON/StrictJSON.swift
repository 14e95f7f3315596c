import FoundationEssentials

/// Foundation's decoder for the texts of strangers: it sees only those that were gone over first.
package enum StrictJSON {
    /// Goes over a whole text and keeps nothing of it.
    package static func check(_ bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
        var cursor = try JSONCursor(bytes, limits: limits)
        try cursor.skip()
        try cursor.end()
    }

    /// - Throws: what `check` throws, or `.mismatch`, whose path leads to the value that isn't what `Value` wants.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], limits: JSONLimits
    ) throws(JSONError) -> Value {
        try check(bytes, limits: limits)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch let error as DecodingError {
            throw JSONError(error)
        } catch {
            throw JSONError(.mismatch, JSONError.quotable("\(error)", 200))
        }
    }
}

extension JSONError {
    fileprivate init(_ error: DecodingError) {
        switch error {
        case .typeMismatch(let type, let context):
            self.init(.mismatch, "the wrong kind of value", context.codingPath, expected: "\(type)")
        case .valueNotFound(let type, let context):
            self.init(.mismatch, "the wrong kind of value", context.codingPath, expected: "\(type)", found: "null")
        case .keyNotFound(let key, let context):
            self.init(.mismatch, "the key is missing", context.codingPath + [key])
        case .dataCorrupted(let context):
            self.init(.mismatch, JSONError.quotable(context.debugDescription, 200), context.codingPath)
        @unknown default:
            self.init(.mismatch, JSONError.quotable("\(error)", 200))
        }
    }

    private init(
        _ code: Code, _ message: String, _ keys: [any CodingKey], expected: String? = nil, found: String? = nil
    ) {
        let path = keys.reduce("") { path, key in
            if let index = key.intValue { return "\(path)[\(index)]" }
            return (path.isEmpty ? "" : "\(path).") + JSONError.quotable(key.stringValue)
        }
        self.init(code, message, path: path.isEmpty ? nil : path, expected: expected, found: found)
    }
}
