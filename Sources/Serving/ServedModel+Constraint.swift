import API
import Constraints
import Generation
import JSON
import ToolCalls

/// What an answer's content must be.
enum ResponseFormat {
    case text
    case object
    case schema(JSONValue)

    var isJSON: Bool {
        if case .text = self { false } else { true }
    }

    /// Of a request whose fields have been checked.
    init(_ body: JSONValue) throws(APIError) {
        let format = body["response_format"]
        switch format?["type"]?.string {
        case "json_object": self = .object
        case "json_schema":
            guard let schema = format?["json_schema"]?["schema"] else {
                throw .invalid(
                    "response_format.json_schema",
                    "response_format.json_schema: the field is missing and can't be left out")
            }
            self = .schema(schema)
        default: self = .text
        }
    }
}

extension ServedModel {
    /// What a request allows its answer to be; nil for anything.
    func constraint(of body: JSONValue, _ prompt: Prompt) throws(APIError) -> Constraint? {
        let format = try ResponseFormat(body)
        guard format.isJSON || prompt.tools.isConstrained else { return nil }
        if prompt.continuesText, format.isJSON || prompt.tools.isRequired {
            let field = format.isJSON ? "response_format" : "tool_choice"
            throw .invalid(field, "\(field): an answer that goes on from a prefix can't be held to a form")
        }
        do {
            let tokens = syntax.visibleTokens(tokenizer, usesTools: prompt.tools.rules != nil)
            var markers: [String: Grammar.Symbol] = [:]
            for text in tokens.keys.sorted() { markers[text] = 256 + Grammar.Symbol(markers.count) }
            let grammar = try syntax.grammar(
                format, prompt.tools, startsInsideReasoning: prompt.startsInsideReasoning, markers: markers)
            var symbols: [Int32: Grammar.Symbol] = [:]
            for (text, id) in tokens { symbols[id] = markers[text] }
            return Constraint(grammar, markers: symbols)
        } catch {
            throw error.isUnsupported
                ? .unsupported(error.path, error.description) : .invalid(error.path, error.description)
        }
    }
}
