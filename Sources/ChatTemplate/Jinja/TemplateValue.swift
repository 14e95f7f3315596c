/// What a template computes with: Python's values, as far as templates meet them.
package indirect enum TemplateValue: Sendable {
    /// A name or key that isn't there, which prints as nothing and is false.
    case undefined(String)
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(MarkedText)
    case list([TemplateValue])
    case mapping(TemplateMapping)
    case object(TemplateObject)

    /// Text that the template's side wrote, such as a begin token.
    package static func own(_ text: String) -> TemplateValue { .text(MarkedText(text)) }

    /// Text that came with a request.
    package static func foreign(_ text: String) -> TemplateValue { .text(MarkedText(foreign: text)) }
}

/// A mapping in the order of its keys.
package struct TemplateMapping: Sendable {
    package enum Key: Hashable, Sendable {
        case text(MarkedText)
        case integer(Int)
    }

    private(set) var keys: [Key] = []
    private var values: [Key: TemplateValue] = [:]

    package init() {}

    package var count: Int { keys.count }

    package subscript(key: Key) -> TemplateValue? {
        get { values[key] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
            } else if values.removeValue(forKey: key) != nil {
                keys.removeAll { $0 == key }
            }
        }
    }

    package subscript(key: String) -> TemplateValue? {
        get { self[.text(MarkedText(key))] }
        set { self[.text(MarkedText(key))] = newValue }
    }

    var members: [(key: Key, value: TemplateValue)] {
        keys.compactMap { key in values[key].map { (key, $0) } }
    }
}

/// What has identity: it lives as long as one rendering, on one thread.
package final class TemplateObject: @unchecked Sendable {
    // Unchecked: objects are made and used by one interpreter, and no result of a rendering holds one.
    enum Kind {
        /// `namespace(…)`: what loops can write to.
        case namespace(TemplateMapping)
        /// `loop` of a running loop.
        case loop(LoopState)
        case macro(JinjaMacro, JinjaScope)
        /// A method with the value that it was taken from.
        case method(TemplateValue, String)
        /// `range` and the like.
        case function(String)
    }

    var kind: Kind

    init(_ kind: Kind) {
        self.kind = kind
    }
}

struct LoopState {
    var index = 0
    var items: [TemplateValue]
    let depth: Int
}

/// Names and their values; a name that isn't here is looked up outside.
final class JinjaScope {
    var values: [String: TemplateValue] = [:]
    let outer: JinjaScope?

    init(in outer: JinjaScope?) {
        self.outer = outer
    }

    subscript(name: String) -> TemplateValue? {
        var scope: JinjaScope? = self
        while let here = scope {
            if let value = here.values[name] { return value }
            scope = here.outer
        }
        return nil
    }
}

extension TemplateMapping.Key: ExpressibleByStringLiteral {
    package init(stringLiteral text: String) {
        self = .text(MarkedText(text))
    }

    /// nil if Python has such keys but templates don't.
    init?(_ value: TemplateValue) {
        switch value {
        case .text(let text): self = .text(text)
        case .integer(let integer): self = .integer(integer)
        default: return nil
        }
    }

    var value: TemplateValue {
        switch self {
        case .text(let text): .text(text)
        case .integer(let integer): .integer(integer)
        }
    }
}

extension TemplateMapping: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral members: (Key, TemplateValue)...) {
        for (key, value) in members { self[key] = value }
    }
}

extension TemplateValue {
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .boolean(let value): value
        case .integer(let value): value != 0
        case .number(let value): value != 0
        case .text(let text): !text.units.isEmpty
        case .list(let items): !items.isEmpty
        case .mapping(let mapping): mapping.count > 0
        case .object: true
        }
    }

    /// What it is, for messages.
    var kind: String {
        switch self {
        case .undefined(let name): "\(name), which is undefined,"
        case .none: "none"
        case .boolean: "a boolean"
        case .integer: "an integer"
        case .number: "a number"
        case .text: "a text"
        case .list: "a list"
        case .mapping: "a mapping"
        case .object: "an object"
        }
    }

    /// Python counts a boolean as 0 or 1.
    var asInteger: Int? {
        switch self {
        case .integer(let value): value
        case .boolean(let value): value ? 1 : 0
        default: nil
        }
    }

    var asNumber: Double? {
        if case .number(let value) = self { return value }
        return asInteger.map { Double($0) }
    }

    /// What case-insensitive orders compare.
    var lowercased: TemplateValue { asText.map { .text($0.lowercased) } ?? self }

    var asText: MarkedText? {
        if case .text(let text) = self { return text }
        return nil
    }
}

extension TemplateValue: Equatable {
    package static func == (left: TemplateValue, right: TemplateValue) -> Bool {
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): true
        case (.text(let left), .text(let right)): left == right
        case (.list(let left), .list(let right)): left == right
        case (.mapping(let left), .mapping(let right)):
            left.count == right.count && left.members.allSatisfy { right[$0.key] == $0.value }
        case (.object(let left), .object(let right)): left === right
        default:
            if let left = left.asInteger, let right = right.asInteger {
                left == right
            } else if let left = left.asNumber, let right = right.asNumber {
                left == right
            } else {
                false
            }
        }
    }
}
