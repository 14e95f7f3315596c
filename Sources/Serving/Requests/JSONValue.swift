/// A parsed JSON text.
package indirect enum JSONValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    /// In the order of the text; no name comes twice.
    case object([(name: String, value: JSONValue)])

    /// What it is, for messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package static func == (left: JSONValue, right: JSONValue) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.boolean(let left), .boolean(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.string(let left), .string(let right)): left == right
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.name == $1.name && $0.value == $1.value }
        default: false
        }
    }
}

/// A number as the text had it: an integer too large for `Int` stays recognisable as too large.
package struct JSONNumber: Sendable, Equatable {
    /// Infinite when the text's number is beyond `Double`.
    package var value: Double
    /// nil when it isn't a whole number that fits.
    package var integer: Int?

    package init(value: Double, integer: Int?) {
        self.value = value
        self.integer = integer
    }
}
