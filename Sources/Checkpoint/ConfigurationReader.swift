import JSON

/// Reads the keys of a JSON object and remembers which, so that none goes unread.
///
/// A key that nobody asked for might change the arithmetic, so `finish` makes it an error that names it.
final class ConfigurationReader {
    let path: String
    /// The names of the objects around this one, each with a point behind it.
    private let prefix: String
    private var unread: [String: JSONValue] = [:]

    init(_ value: JSONValue, path: String, prefix: String = "") throws(CheckpointError) {
        self.path = path
        self.prefix = prefix
        guard case .object(let members) = value else {
            throw CheckpointError(
                .configuration, "not an object", path: path, key: prefix.isEmpty ? nil : String(prefix.dropLast()),
                expected: "an object", found: "\(value)")
        }
        for member in members { unread[member.name] = member.value }
    }

    /// With the names of the objects around it.
    func path(of key: String) -> String { prefix + key }

    func failure(
        _ key: String, _ message: String, expected: String? = nil, found: JSONValue? = nil, advice: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .configuration, message, path: path, key: self.path(of: key), expected: expected, found: found?.description,
            advice: advice)
    }

    /// The key's value; nil where the key is absent or null.
    func take(_ key: String) -> JSONValue? {
        let value = unread.removeValue(forKey: key)
        return value == .null ? nil : value
    }

    func has(_ key: String) -> Bool { unread[key] != nil && unread[key] != .null }

    /// Takes keys that don't change what inference computes.
    func ignore(_ keys: some Sequence<String>) {
        for key in keys { unread.removeValue(forKey: key) }
    }

    /// The names of the keys that nobody took yet.
    var names: [String] { unread.keys.sorted() }

    func finish() throws(CheckpointError) {
        guard let key = unread.keys.min(), let value = unread[key] else { return }
        throw failure(
            key, "this key isn't understood, and it might change what the model computes", found: value,
            advice: "If it can't, remove it from the file; otherwise this model isn't supported yet")
    }

    // MARK: Typed values

    private func required<Value>(_ key: String, _ value: Value?) throws(CheckpointError) -> Value {
        guard let value else { throw failure(key, "this key is missing") }
        return value
    }

    func count(_ key: String, in range: ClosedRange<Int>) throws(CheckpointError) -> Int {
        try required(key, try countIfPresent(key, in: range))
    }

    func countIfPresent(_ key: String, in range: ClosedRange<Int>) throws(CheckpointError) -> Int? {
        guard let value = take(key) else { return nil }
        guard let integer = value.integer, range.contains(integer) else {
            throw failure(
                key, "not a value that can be right",
                expected: "an integer from \(range.lowerBound) to \(range.upperBound)",
                found: value)
        }
        return integer
    }

    func number(_ key: String) throws(CheckpointError) -> Double {
        try required(key, try numberIfPresent(key))
    }

    /// A number above zero, or zero itself too.
    func numberIfPresent(
        _ key: String, orZero: Bool = false, atMost greatest: Double = 1e30
    ) throws(CheckpointError) -> Double? {
        guard let value = take(key) else { return nil }
        guard let number = value.number, number <= greatest, number > 0 || (orZero && number == 0) else {
            let least = orZero ? "at least 0" : "above 0"
            throw failure(
                key, "not a value that can be right", expected: "a number \(least) and at most \(greatest)",
                found: value)
        }
        return number
    }

    func bool(_ key: String) throws(CheckpointError) -> Bool {
        try required(key, try boolIfPresent(key))
    }

    func boolIfPresent(_ key: String) throws(CheckpointError) -> Bool? {
        guard let value = take(key) else { return nil }
        guard let bool = value.bool else {
            throw failure(key, "not a truth value", expected: "true or false", found: value)
        }
        return bool
    }

    /// One of `accepted`, or nil where the key is absent or null.
    func name(_ key: String, accepted: [String]) throws(CheckpointError) -> String? {
        guard let value = take(key) else { return nil }
        guard let name = value.string, accepted.contains(name) else {
            throw failure(
                key, "this value isn't supported", expected: accepted.map { "\"\($0)\"" }.joined(separator: " or "),
                found: value)
        }
        return name
    }

    /// A key whose only supported value is the one that changes nothing; absent means that value.
    func mustBe(_ key: String, _ accepted: JSONValue) throws(CheckpointError) {
        guard let value = take(key) else { return }
        let isSame = value == accepted || (value.number != nil && value.number == accepted.number)
        guard isSame else { throw failure(key, "this value isn't supported", expected: "\(accepted)", found: value) }
    }

    /// One id or a list of them; empty where the key is absent or null.
    func tokens(_ key: String, below vocabularySize: Int) throws(CheckpointError) -> [Int] {
        guard let value = take(key) else { return [] }
        let tokens = (value.array ?? [value]).map(\.integer)
        guard tokens.count <= 256, tokens.allSatisfy({ $0.map { (0..<vocabularySize).contains($0) } ?? false }) else {
            throw failure(
                key, "not a token id of this vocabulary", expected: "ids from 0 to \(vocabularySize - 1)", found: value)
        }
        return tokens.compactMap(\.self)
    }

    func object(_ key: String) throws(CheckpointError) -> ConfigurationReader? {
        guard let value = take(key) else { return nil }
        return try ConfigurationReader(value, path: path, prefix: prefix + key + ".")
    }
}
