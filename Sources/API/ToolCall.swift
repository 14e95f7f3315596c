/// A call of a function, in an assistant's message or in a part of one.
package struct ToolCall: Codable, Sendable, Equatable {
    /// Which of the answer's calls it is; only in a stream, counted from 0.
    package var index: Int?
    package var id: String
    package var type = "function"
    package var function: Function

    package init(index: Int? = nil, id: String, name: String, arguments: String) {
        self.index = index
        self.id = id
        function = Function(name: name, arguments: arguments)
    }

    package struct Function: Codable, Sendable, Equatable {
        package var name: String
        /// A JSON object, as text.
        package var arguments: String
    }
}
