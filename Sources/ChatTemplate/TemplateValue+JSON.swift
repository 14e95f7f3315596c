package import JSON

extension TemplateValue {
    /// A request's JSON, whose names and texts can't become markers.
    package init(foreign value: JSONValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .boolean(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let text): self = .foreign(text)
        case .array(let values): self = .list(values.map { TemplateValue(foreign: $0) })
        case .object(let members):
            var mapping = TemplateMapping()
            for member in members {
                mapping[.text(MarkedText(foreign: member.name))] = TemplateValue(foreign: member.value)
            }
            self = .mapping(mapping)
        }
    }
}
