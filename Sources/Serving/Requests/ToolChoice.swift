import JSON

/// Which of a request's functions its answer calls.
struct ToolChoice: Equatable {
    enum Mode: Equatable {
        case none
        /// As the model thinks fit.
        case auto
        case required
        case named(String)
    }

    var mode = Mode.auto
    /// The only ones that count; nil for all.
    var allowed: [String]?

    /// Reads `tool_choice`: a word, a function, or a list of those that are allowed.
    init(_ value: JSONValue?) throws(FieldError) {
        switch value {
        case nil, .null?: break
        case .string(let word)?: mode = try Self.mode(word, path: "tool_choice", ["none", "auto", "required"])
        case .object?:
            switch value?["type"]?.string {
            case "function": mode = .named(try Self.name(value, path: "tool_choice"))
            case "allowed_tools":
                let list = value?["allowed_tools"]
                let path = "tool_choice.allowed_tools"
                mode = try Self.mode(list?["mode"]?.string ?? "", path: "\(path).mode", ["auto", "required"])
                guard let tools = list?["tools"]?.array, !tools.isEmpty else {
                    throw FieldError(path: "\(path).tools", "expected an array of tools")
                }
                var names: [String] = []
                for (index, tool) in tools.enumerated() {
                    names.append(try Self.name(tool, path: "\(path).tools[\(index)]"))
                }
                allowed = names
            default:
                throw FieldError(path: "tool_choice.type", "expected 'function' or 'allowed_tools'")
            }
        case let other?:
            throw FieldError(
                path: "tool_choice", "expected 'none', 'auto', 'required' or an object, found \(other.kind)")
        }
    }

    private static func mode(_ word: String, path: String, _ expected: [String]) throws(FieldError) -> Mode {
        guard expected.contains(word) else {
            let words = expected.map { "'\($0)'" }.joined(separator: " or ")
            throw FieldError(path: path, "expected \(words), found '\(word.prefix(64))'")
        }
        return word == "none" ? .none : word == "auto" ? .auto : .required
    }

    private static func name(_ tool: JSONValue?, path: String) throws(FieldError) -> String {
        guard tool?["type"]?.string == "function", let name = tool?["function"]?["name"]?.string else {
            throw FieldError(
                path: "\(path).function.name", #"expected {"type": "function", "function": {"name": …}}"#)
        }
        return name
    }
}
