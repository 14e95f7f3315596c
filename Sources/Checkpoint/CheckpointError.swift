import JSON

/// What is wrong with a checkpoint, and where.
package struct CheckpointError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The operating system refused: opening, reading or writing failed.
        case inputOutput
        /// Text that isn't JSON, or JSON of another form than expected.
        case malformedJSON
        /// A safetensors header that contradicts itself or its file.
        case malformedHeader
        /// An index that names shards or tensors that aren't there, or places outside the checkpoint.
        case malformedIndex
        /// A `tiktoken.model` whose lines can't be read or contradict one another.
        case malformedVocabulary
        case unsupportedFamily
        /// A key of the configuration that is missing, unknown, or has a value that isn't understood.
        case configuration
        case missingTensor
        case unexpectedTensor
        /// A tensor whose shape or element type isn't the one that the configuration calls for.
        case wrongTensor
        /// NaN or infinity among the weights.
        case notFinite
    }

    package var code: Code
    package var message: String
    package var path: String?
    /// Bytes from the start of `path`.
    package var offset: Int?
    package var tensor: String?
    /// The key of the configuration, with the names of the objects around it: `rope_scaling.factor`.
    package var key: String?
    package var expected: String?
    package var found: String?
    /// What the person can do.
    package var advice: String?

    package init(
        _ code: Code, _ message: String, path: String? = nil, offset: Int? = nil, tensor: String? = nil,
        key: String? = nil, expected: String? = nil, found: String? = nil, advice: String? = nil
    ) {
        self.code = code
        self.message = message
        self.path = path
        self.offset = offset
        self.tensor = tensor
        self.key = key
        self.expected = expected
        self.found = found
        self.advice = advice
    }

    /// - Parameter fileOffset: where the JSON begins in its file.
    init(_ error: JSONError, path: String, fileOffset: Int = 0) {
        self.init(
            .malformedJSON, error.message, path: path, offset: error.offset.map { fileOffset + $0 }, key: error.path,
            expected: error.expected, found: error.found)
    }

    package var description: String {
        var text = ""
        if let path { text += path + (offset.map { " at byte \($0)" } ?? "") + ": " }
        if let tensor { text += "tensor '\(tensor)': " }
        if let key { text += "key '\(key)': " }
        text += message
        if let expected { text += "; expected \(expected)" }
        if let found { text += "; found \(found)" }
        if let advice { text += ". \(advice)" }
        return text
    }
}
