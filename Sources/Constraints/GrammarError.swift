/// Why no grammar can be made of what a request asks for.
package struct GrammarError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The place within the request, such as `response_format.json_schema.schema.properties.age.minimum`.
    package let path: String
    package let message: String
    /// Whether it is right, but more than is supported.
    package let isUnsupported: Bool

    package init(_ path: String, _ message: String, isUnsupported: Bool = false) {
        self.path = path
        self.message = message
        self.isUnsupported = isUnsupported
    }

    package var description: String { path.isEmpty ? message : "\(path): \(message)" }
}
