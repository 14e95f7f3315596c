/// An open GGUF file (version 2 or 3, little-endian), its header checked: names, shapes and places of its tensors, and
/// the values that come as text or whole numbers. Only F32 tensors can be read.
package final class GGUFFile: Sendable {
    package struct Tensor: Sendable, Equatable {
        package var name: String
        /// The innermost dimension first.
        package var dimensions: [Int]
        package var isF32: Bool
        /// Bytes from the start of the file.
        package var offset: Int

        package var elementCount: Int { dimensions.reduce(1, *) }
    }

    package let file: InputFile
    package let tensors: [Tensor]
    /// Keys whose value is a string or a list of strings.
    package let texts: [String: [String]]
    /// Keys whose value is a whole number that isn't negative.
    package let numbers: [String: Int]
    package var path: String { file.path }

    package static let magic = Array("GGUF".utf8)
    /// Of headers: thousands of tensors' descriptions have room in it, and a vocabulary too.
    static let greatestHeader = 1 << 24

    package init(_ file: InputFile) throws(CheckpointError) {
        self.file = file
        let bytes = try file.bytes(0..<min(Self.greatestHeader, file.byteCount))
        var reader = GGUFReader(bytes: bytes, path: file.path)
        let header = try reader.header(fileByteCount: file.byteCount)
        tensors = header.tensors
        texts = header.texts
        numbers = header.numbers
    }

    package func floats(of tensor: Tensor) throws(CheckpointError) -> [Float] {
        guard tensor.isF32 else {
            throw CheckpointError(
                .wrongTensor, "an element type that can't be read here", path: path, offset: tensor.offset,
                tensor: tensor.name, expected: "F32")
        }
        let bytes = try file.bytes(tensor.offset..<tensor.offset + tensor.elementCount * 4)
        var values = [Float](repeating: 0, count: tensor.elementCount)
        unsafe bytes.withUnsafeBytes { source in
            unsafe values.withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
        }
        return values
    }
}

/// Reads a header that may say anything: every step is bounded by the bytes that are there.
private struct GGUFReader {
    let bytes: [UInt8]
    let path: String
    var position = 0

    struct Header {
        var tensors: [GGUFFile.Tensor] = []
        var texts: [String: [String]] = [:]
        var numbers: [String: Int] = [:]
    }

    /// The value types, by their numbers in the file.
    private enum Kind: Int {
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

        var isUnsigned: Bool { self == .uint8 || self == .uint16 || self == .uint32 || self == .uint64 }
    }

    func failure(_ message: String, tensor: String? = nil, expected: String? = nil, found: String? = nil)
        -> CheckpointError
    {
        CheckpointError(
            .malformedHeader, message, path: path, offset: position, tensor: tensor.map { String($0.prefix(200)) },
            expected: expected, found: found)
    }

    mutating func header(fileByteCount: Int) throws(CheckpointError) -> Header {
        guard bytes.starts(with: GGUFFile.magic) else { throw failure("not a GGUF file", expected: "'GGUF'") }
        position = 4
        let version = try number(4)
        guard version == 2 || version == 3 else {
            throw failure("a GGUF version that isn't known", expected: "2 or 3", found: "\(version)")
        }
        // A description has at least 24 bytes, a key and its value 13.
        let tensorCount = try count(leastByteCount: 24, "tensors")
        let valueCount = try count(leastByteCount: 13, "values")
        var header = Header()
        for _ in 0..<valueCount { try value(into: &header) }

        let alignment = header.numbers["general.alignment"] ?? 32
        guard 1...1 << 20 ~= alignment, alignment & (alignment - 1) == 0 else {
            throw failure("an alignment that isn't a power of two", found: "\(alignment)")
        }
        var relative: [GGUFFile.Tensor] = []
        for _ in 0..<tensorCount { relative.append(try tensor()) }
        let start = (position + alignment - 1) / alignment * alignment
        for var tensor in relative {
            let byteCount = tensor.isF32 ? tensor.elementCount * 4 : 0
            guard start <= fileByteCount, tensor.offset <= fileByteCount - start,
                byteCount <= fileByteCount - start - tensor.offset
            else {
                throw failure(
                    "the data lie outside the file", tensor: tensor.name,
                    expected: "\(byteCount) bytes within \(fileByteCount)", found: "byte \(tensor.offset) of the data")
            }
            tensor.offset += start
            header.tensors.append(tensor)
        }
        return header
    }

    private mutating func tensor() throws(CheckpointError) -> GGUFFile.Tensor {
        let name = try string()
        let rank = try number(4)
        guard 1...4 ~= rank else { throw failure("a rank out of range", tensor: name, found: "\(rank)") }
        var dimensions: [Int] = []
        // With room for four bytes an element.
        var product = 4
        for _ in 0..<rank {
            let extent = try number(8)
            let (next, overflow) = product.multipliedReportingOverflow(by: extent)
            guard extent > 0, !overflow else {
                throw failure("a shape that can't be right", tensor: name, found: "\(dimensions + [extent])")
            }
            product = next
            dimensions.append(extent)
        }
        let kind = try number(4)
        return GGUFFile.Tensor(name: name, dimensions: dimensions, isF32: kind == 0, offset: try number(8))
    }

    private mutating func value(into header: inout Header) throws(CheckpointError) {
        let key = try string()
        guard let kind = Kind(rawValue: try number(4)) else { throw failure("a value type that isn't known") }
        switch kind {
        case .string: header.texts[key] = [try string()]
        case .array:
            guard let element = Kind(rawValue: try number(4)), element != .array else {
                throw failure("a list of a type that can't be read here")
            }
            let count = try count(leastByteCount: element.byteCount ?? 8, "elements")
            if element == .string {
                var texts: [String] = []
                for _ in 0..<count { texts.append(try string()) }
                header.texts[key] = texts
            } else {
                position += count * (element.byteCount ?? 0)
            }
        default:
            let bits = try take(kind.byteCount ?? 0)
            if kind.isUnsigned { header.numbers[key] = try? whole(bits) }
        }
    }

    /// A count of things that have at least some bytes each, bounded by the bytes that are left.
    private mutating func count(leastByteCount: Int, _ what: String) throws(CheckpointError) -> Int {
        let count = try number(8)
        let limit = (bytes.count - position) / leastByteCount
        guard count <= limit else {
            throw failure("more \(what) than the header has room for", expected: "at most \(limit)", found: "\(count)")
        }
        return count
    }

    private mutating func string() throws(CheckpointError) -> String {
        let count = try count(leastByteCount: 1, "bytes of text")
        return String(decoding: try take(count), as: UTF8.self)
    }

    private mutating func number(_ byteCount: Int) throws(CheckpointError) -> Int { try whole(try take(byteCount)) }

    private func whole(_ bits: ArraySlice<UInt8>) throws(CheckpointError) -> Int {
        let value = bits.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let number = Int(exactly: value) else {
            throw failure("a number that can't be right", found: "\(value)")
        }
        return number
    }

    private mutating func take(_ count: Int) throws(CheckpointError) -> ArraySlice<UInt8> {
        guard count <= bytes.count - position else {
            throw failure("the header ends early", expected: "\(count) more bytes", found: "\(bytes.count - position)")
        }
        defer { position += count }
        return bytes[position..<position + count]
    }
}
