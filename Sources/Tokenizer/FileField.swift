import JSON

/// A value of a tokenizer's file and where it stands there. What isn't there reads as null.
struct FileField {
    let value: JSONValue
    /// Such as `tokenizer.json model.merges[3]`.
    let path: String

    /// The largest published vocabularies (256,000 tokens) take 34 MB and less than half as many values.
    private static let limits = JSONLimits(byteCount: 48 << 20, valueCount: 4 << 20, tellsEquivalentNamesApart: true)

    private init(_ value: JSONValue, _ path: String) {
        self.value = value
        self.path = path
    }

    init(parsing json: [UInt8], file: String) throws(TokenizerError) {
        do throws(JSONError) {
            self.init(try JSONValue(parsing: json, limits: Self.limits), file)
        } catch {
            throw TokenizerError(error.code == .tooLarge ? .tooLarge : .malformed, field: file, error.description)
        }
        try object()
    }

    /// A member of an object.
    subscript(name: String) -> FileField {
        FileField(value[name] ?? .null, path.hasSuffix(".json") ? "\(path) \(name)" : "\(path).\(name)")
    }

    var isNull: Bool { value == .null }

    /// The elements of an array; none for null.
    func elements() throws(TokenizerError) -> [FileField] {
        if isNull { return [] }
        guard let array = value.array else { throw mismatch("an array") }
        return array.enumerated().map { FileField($1, "\(path)[\($0)]") }
    }

    func members() throws(TokenizerError) -> [JSONValue.Member] {
        guard case .object(let members) = value else { throw mismatch("an object") }
        return members
    }

    /// Throws for anything but an object.
    func object() throws(TokenizerError) { _ = try members() }

    func stringIfPresent() throws(TokenizerError) -> String? { isNull ? nil : try string() }

    func string() throws(TokenizerError) -> String {
        guard let string = value.string else { throw mismatch("a string") }
        return string
    }

    func bool(default whenMissing: Bool) throws(TokenizerError) -> Bool {
        if isNull { return whenMissing }
        guard let bool = value.bool else { throw mismatch("a boolean") }
        return bool
    }

    func integer() throws(TokenizerError) -> Int {
        guard let integer = value.integer else { throw mismatch("an integer") }
        return integer
    }

    func number() throws(TokenizerError) -> Double {
        guard let number = value.number, number.isFinite else { throw mismatch("a number") }
        return number
    }

    func mismatch(_ expected: String) -> TokenizerError { malformed("\(expected) is expected, \(value) found") }

    func malformed(_ message: String) -> TokenizerError { TokenizerError(.malformed, field: path, message) }

    func unsupported(_ what: String) -> TokenizerError {
        TokenizerError(.unsupported, field: path, "\(what) isn't supported")
    }

    /// The steps of a `Sequence`, and of the sequences inside it, in order; a single step alone; none for null.
    ///
    /// - Parameter name: of the list in a sequence.
    func steps(_ name: String) throws(TokenizerError) -> [FileField] {
        if isNull { return [] }
        guard try self["type"].string() == "Sequence" else { return [self] }
        var steps: [FileField] = []
        for element in try self[name].elements() { steps += try element.steps(name) }
        return steps
    }
}
