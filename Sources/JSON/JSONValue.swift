/// A JSON value whose integers stay exact and whose members keep their order.
package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A whole number that fits, with point or exponent only below 2⁵³.
    case integer(Int)
    /// Any other number: a fraction, or one too large for `Int`; infinite where it's beyond `Double`, too.
    case number(Double)
    case string(String)
    case array([JSONValue])
    /// No name comes twice.
    case object([Member])

    package struct Member: Sendable, Equatable {
        package var name: String
        package var value: JSONValue

        package init(name: String, value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// Reads a whole text.
    package init(parsing bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
        var cursor = try JSONCursor(bytes, limits: limits)
        self = try cursor.value()
        try cursor.end()
    }

    /// The value of an object's member.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    package var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    package var integer: Int? {
        if case .integer(let value) = self { value } else { nil }
    }

    package var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    package var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    package var array: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// What it is, for messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

extension JSONValue: CustomStringConvertible {
    /// As it stood in the text, shortened for messages: what arrays hold is shown one level deep.
    package var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): "\"\(JSONError.quotable(value, 80))\""
        case .array(let values):
            "[" + values.prefix(8).map { $0.array == nil ? $0.description : "[…]" }.joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.prefix(8).map { "\"\(JSONError.quotable($0.name))\"" }.joined(separator: ", ") + "}"
        }
    }
}
