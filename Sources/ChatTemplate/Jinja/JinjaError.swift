/// Why a template can't be parsed or run.
struct JinjaError: Error {
    enum Code {
        /// It isn't Jinja, or not as far as it is known here.
        case syntax
        /// It did something that has no result, such as adding a number to a text.
        case runtime
        /// It called `raise_exception`: the conversation isn't one that it renders.
        case raised
        /// It took more steps, depth or text than a conversation needs.
        case limit
    }

    let code: Code
    let message: String
    /// Line of the template, from 1.
    var line: Int?

    init(_ code: Code, _ message: String, line: Int? = nil) {
        self.code = code
        self.message = message
        self.line = line
    }
}
