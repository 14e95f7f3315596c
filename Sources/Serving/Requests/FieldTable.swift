package import JSON

/// What one field of a request may hold.
package indirect enum FieldRule: Sendable {
    case boolean
    case string
    /// Of a function: a word of at most 64 characters, as OpenAI has it.
    case name
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case oneOf([String])
    /// One string, or so many.
    case strings(maximumCount: Int, maximumByteCount: Int)
    case array(FieldRule, count: ClosedRange<Int>, required: String)
    case object(FieldTable)
    /// Text, null, or an array of parts that are text.
    case content
    case both(FieldRule, FieldRule)
    /// Never changes an answer, so any value will do.
    case harmless
    /// Would change the answer and isn't supported: only the values that ask for nothing are taken.
    case unsupported(neutral: [JSONValue], advice: String)
}

/// The fields of one kind of object, each with its rule: the one place where a request's values are checked.
///
/// null always means "not given". A field that isn't in the table is ignored, unless the table is closed.
package struct FieldTable: Sendable {
    private let rules: [String: FieldRule]
    private let required: [String]
    private let dispensable: [String: String]
    private let isClosed: Bool

    /// - Parameters:
    ///   - dispensable: required fields that may be missing where another field is there.
    ///   - isClosed: for objects of our own, where an unknown field is a misspelt one.
    package init(
        _ rules: [String: FieldRule], required: [String] = [], dispensable: [String: String] = [:],
        isClosed: Bool = false
    ) {
        self.rules = rules
        self.required = required
        self.dispensable = dispensable
        self.isClosed = isClosed
    }

    /// Throws for the first field, in the object's order, that breaks its rule.
    package func check(_ value: JSONValue, path: String = "") throws(FieldError) {
        guard case .object(let members) = value else {
            throw FieldError(path: path.isEmpty ? nil : path, "expected an object, found \(value.kind)")
        }
        for member in members {
            let memberPath = path.isEmpty ? member.name : "\(path).\(member.name)"
            guard let rule = rules[member.name] else {
                guard !isClosed else {
                    let names = rules.keys.sorted().joined(separator: ", ")
                    throw FieldError(path: memberPath, "there is no such field; there are \(names)")
                }
                continue
            }
            if member.value != .null { try rule.check(member.value, path: memberPath) }
        }
        for name in required {
            if let other = dispensable[name], let value = value[other], value != .null { continue }
            guard let value = value[name], value != .null else {
                throw FieldError(
                    path: path.isEmpty ? name : "\(path).\(name)", "the field is missing and can't be left out")
            }
        }
    }
}

/// Which field breaks its rule, and how.
package struct FieldError: Error, Sendable, Equatable {
    package var path: String?
    package var message: String
    package var isUnsupported = false

    init(path: String?, _ message: String, isUnsupported: Bool = false) {
        self.path = path
        self.message = message
        self.isUnsupported = isUnsupported
    }
}

extension FieldRule {
    package func check(_ value: JSONValue, path: String) throws(FieldError) {
        func fail(_ expected: String) -> FieldError {
            FieldError(path: path, "expected \(expected), found \(value.kind)")
        }
        switch self {
        case .boolean:
            guard case .bool = value else { throw fail("true or false") }
        case .string:
            guard case .string = value else { throw fail("a string") }
        case .name:
            guard case .string(let name) = value, 1...64 ~= name.utf8.count, name.utf8.allSatisfy(Self.isNameByte)
            else {
                throw fail("a name of 1 to 64 letters, digits, points, dashes and underscores")
            }
        case .integer(let range):
            try Self.checkInteger(value, range, path)
        case .number(let range):
            guard let number = value.number else { throw fail("a number") }
            guard range.contains(number) else {
                throw FieldError(
                    path: path, "\(number) is out of range: expected \(range.lowerBound) to \(range.upperBound)")
            }
        case .oneOf(let names):
            let expected = names.map { "'\($0)'" }.joined(separator: " or ")
            guard case .string(let name) = value else { throw fail(expected) }
            guard names.contains(name) else {
                throw FieldError(path: path, "expected \(expected), found '\(name.prefix(64))'")
            }
        case .strings(let maximumCount, let maximumByteCount):
            try Self.checkStrings(value, maximumCount, maximumByteCount, path)
        case .array(let rule, let count, let required):
            guard case .array(let elements) = value else { throw fail(required) }
            guard count.contains(elements.count) else {
                throw FieldError(
                    path: path, "expected \(count.lowerBound) to \(count.upperBound) entries, found \(elements.count)")
            }
            for (index, element) in elements.enumerated() { try rule.check(element, path: "\(path)[\(index)]") }
        case .object(let table):
            try table.check(value, path: path)
        case .content:
            try Self.checkContent(value, path)
        case .both(let first, let second):
            try first.check(value, path: path)
            try second.check(value, path: path)
        case .harmless:
            break
        case .unsupported(let neutral, let advice):
            guard neutral.contains(value) else {
                throw FieldError(path: path, "'\(path)' isn't supported\(advice)", isUnsupported: true)
            }
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private static func checkInteger(
        _ value: JSONValue, _ range: ClosedRange<Int>, _ path: String
    ) throws(FieldError) {
        guard let number = value.number else {
            throw FieldError(path: path, "expected a whole number, found \(value.kind)")
        }
        guard let integer = value.integer, range.contains(integer) else {
            let isWhole = value.integer != nil || number.magnitude >= 0x1p53
            throw FieldError(
                path: path,
                isWhole
                    ? "\(value) is out of range: expected \(range.lowerBound) to \(range.upperBound)"
                    : "expected a whole number, found \(value)")
        }
    }

    private static func checkStrings(
        _ value: JSONValue, _ maximumCount: Int, _ maximumByteCount: Int, _ path: String
    ) throws(FieldError) {
        let elements =
            switch value {
            case .string: [value]
            case .array(let elements): elements
            default: throw FieldError(path: path, "expected a string or an array of strings, found \(value.kind)")
            }
        guard elements.count <= maximumCount else {
            throw FieldError(path: path, "expected at most \(maximumCount) strings, found \(elements.count)")
        }
        for element in elements {
            guard case .string(let text) = element else {
                throw FieldError(path: path, "expected strings, found \(element.kind)")
            }
            guard 1...maximumByteCount ~= text.utf8.count else {
                throw FieldError(
                    path: path, "expected strings of 1 to \(maximumByteCount) bytes, found \(text.utf8.count)")
            }
        }
    }

    private static func checkContent(_ value: JSONValue, _ path: String) throws(FieldError) {
        switch value {
        case .string: return
        case .array(let parts):
            for (index, part) in parts.enumerated() {
                guard case .string(let type)? = part["type"] else {
                    throw FieldError(path: "\(path)[\(index)].type", "every part of a message names its type")
                }
                guard type == "text" else {
                    throw FieldError(
                        path: "\(path)[\(index)]", "a part of type '\(type.prefix(64))' isn't supported, only text is",
                        isUnsupported: true)
                }
                guard case .string? = part["text"] else {
                    throw FieldError(path: "\(path)[\(index)].text", "a text part has its text as a string")
                }
            }
        default:
            throw FieldError(path: path, "expected a string or an array of text parts, found \(value.kind)")
        }
    }
}
