package import JSON

/// A piece of what a model answered, told apart by its family's syntax.
package enum AnswerPart: Sendable, Equatable {
    case reasoning(String)
    case content(String)
    case call(ToolCall)
}

/// A call of a function, as a model asks for it.
package struct ToolCall: Sendable, Equatable {
    /// As the model named the call; nil where its syntax has no such names.
    package var id: String?
    package var name: String
    /// A JSON object, in the model's own spelling where that was JSON.
    package var arguments: String

    package init(id: String? = nil, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }
}

/// A function that the model may call.
package struct ToolDefinition: Sendable, Equatable {
    package var name: String
    /// A JSON schema; nil if the function takes nothing.
    package var parameters: JSONValue?

    package init(name: String, parameters: JSONValue? = nil) {
        self.name = name
        self.parameters = parameters
    }

    /// The type that the schema gives an argument; nil where it gives none, or several.
    func type(of argument: String) -> String? { parameters?["properties"]?[argument]?["type"]?.string }
}
