import JSON

/// What stands at a key of a GGUF file's metadata.
package enum GGUFValue: Sendable, Equatable {
    case bool(Bool)
    /// A whole number of any width that fits.
    case integer(Int)
    /// A binary32 as the shortest decimal number that it stands for: 0.1 is meant where 0.1 was written.
    case number(Double)
    case text(String)
    case texts([String])
    /// Whole numbers of 32 or 64 bits.
    case integers([Int])
    /// binary32
    case numbers([Float])
    /// A list of another kind, which nothing here has a use for.
    case list

    /// The value types, by their numbers in the file.
    enum Kind: Int {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// nil for what has no fixed size.
        var byteCount: Int? {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64: 8
            case .string, .array: nil
            }
        }
    }

    /// A value of a fixed size; nil for a whole number that doesn't fit.
    ///
    /// - Parameter bits: little-endian, as many bytes as the kind has.
    init?(_ kind: Kind, _ bits: some Collection<UInt8>) {
        let value = bits.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch kind {
        case .bool: self = .bool(value != 0)
        case .int8: self = .integer(Int(Int8(truncatingIfNeeded: value)))
        case .int16: self = .integer(Int(Int16(truncatingIfNeeded: value)))
        case .int32: self = .integer(Int(Int32(truncatingIfNeeded: value)))
        case .int64: self = .integer(Int(Int64(bitPattern: value)))
        case .uint8, .uint16, .uint32, .uint64:
            guard let integer = Int(exactly: value) else { return nil }
            self = .integer(integer)
        case .float32:
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: value))
            self = .number(Double(float.description) ?? Double(float))
        case .float64: self = .number(Double(bitPattern: value))
        case .string, .array: return nil
        }
    }

    /// As a configuration has it; nil for lists of anything but whole numbers.
    var json: JSONValue? {
        switch self {
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .text(let value): .string(value)
        case .integers(let values): .array(values.map { .integer($0) })
        case .texts, .numbers, .list: nil
        }
    }
}
