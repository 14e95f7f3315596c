/// Reads a header that may say anything: every step is bounded by the bytes that are there.
struct GGUFReader {
    private let file: InputFile
    /// The header as far as it has been read.
    private var bytes: [UInt8] = []
    private var position = 0
    private let limit: Int

    private static let chunkByteCount = 1 << 20
    private static let greatestValueCount = 1 << 16
    private static let greatestTensorCount = 1 << 17
    private static let greatestListCount = 1 << 22
    /// The format's own limit for keys; no tensor needs more.
    private static let longestName = 65535

    init(_ file: InputFile) {
        self.file = file
        limit = min(GGUFFile.greatestHeader, file.byteCount)
    }

    mutating func header() throws(CheckpointError) -> (values: [String: GGUFValue], tensors: [GGUFFile.Tensor]) {
        guard file.byteCount >= 4, try take(4).elementsEqual(GGUFFile.magic) else {
            throw failure("not a GGUF file", at: 0, expected: "'GGUF'")
        }
        let version = try number(4)
        guard version == 2 || version == 3 else {
            throw failure(
                "a GGUF version that isn't known", at: 4, expected: "2 or 3, little-endian", found: "\(version)")
        }
        // A description has at least 24 bytes, a key and its value 13.
        let tensorCount = try count(leastByteCount: 24, atMost: Self.greatestTensorCount, "tensors")
        let valueCount = try count(leastByteCount: 13, atMost: Self.greatestValueCount, "values")
        var values: [String: GGUFValue] = [:]
        for _ in 0..<valueCount {
            let start = position
            let key = try text(atMost: Self.longestName)
            let value = try value(of: key)
            guard values.updateValue(value, forKey: key) == nil else {
                throw failure("a key that comes twice", at: start, key: key)
            }
        }
        var alignment = 32
        if let value = values["general.alignment"] {
            guard case .integer(let number) = value, 1...1 << 20 ~= number, number & (number - 1) == 0 else {
                throw failure(
                    "not an alignment", key: "general.alignment", expected: "a power of two up to \(1 << 20)",
                    found: "\(value)")
            }
            alignment = number
        }
        var tensors: [GGUFFile.Tensor] = []
        var names = Set<String>()
        for _ in 0..<tensorCount {
            let start = position
            let tensor = try tensor(alignment: alignment)
            guard names.insert(tensor.name).inserted else {
                throw failure("a tensor that comes twice", at: start, tensor: tensor.name)
            }
            tensors.append(tensor)
        }
        return (values, try placed(tensors, after: (position + alignment - 1) / alignment * alignment))
    }

    /// The tensors at their places in the file, in that order.
    ///
    /// - Parameter start: of the data, from which offsets are counted in the file.
    private func placed(_ tensors: [GGUFFile.Tensor], after start: Int) throws(CheckpointError) -> [GGUFFile.Tensor] {
        var placed: [GGUFFile.Tensor] = []
        var end = start
        for var tensor in tensors.sorted(by: { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }) {
            guard start <= file.byteCount, tensor.offset <= file.byteCount - start,
                tensor.byteCount <= file.byteCount - start - tensor.offset
            else {
                throw failure(
                    "the data lie outside the file", tensor: tensor.name,
                    expected: "\(tensor.byteCount) bytes within \(file.byteCount)",
                    found: "byte \(tensor.offset) of the data, which begin at \(start)",
                    advice: "Is the download complete?")
            }
            tensor.offset += start
            guard tensor.offset >= end else {
                throw failure(
                    "the data overlap another tensor's", at: tensor.offset, tensor: tensor.name,
                    expected: "data at byte \(end) or behind it")
            }
            end = tensor.offset + tensor.byteCount
            placed.append(tensor)
        }
        return placed
    }

    /// With its offset as it stands in the file, counted from where the data begin.
    private mutating func tensor(alignment: Int) throws(CheckpointError) -> GGUFFile.Tensor {
        let name = try text(atMost: Self.longestName)
        let rank = try number(4)
        guard 1...4 ~= rank else { throw failure("a rank out of range", tensor: name, found: "\(rank)") }
        var dimensions: [Int] = []
        // No type takes more than eight bytes an element.
        var product = 8
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
        guard let type = GGUFType.all[kind] else {
            throw failure("an element type that isn't known", tensor: name, found: "number \(kind)")
        }
        guard dimensions[0].isMultiple(of: type.blockLength) else {
            throw failure(
                "rows that aren't a whole number of blocks", tensor: name,
                expected: "a multiple of \(type.blockLength) for \(type.name)", found: "\(dimensions[0])")
        }
        let offset = try number(8)
        guard offset.isMultiple(of: alignment) else {
            throw failure(
                "data out of alignment", tensor: name, expected: "a multiple of \(alignment)", found: "\(offset)")
        }
        return GGUFFile.Tensor(name: name, dimensions: dimensions, type: type, offset: offset)
    }

    private mutating func value(of key: String) throws(CheckpointError) -> GGUFValue {
        // Nothing of a token may get lost; what people wrote elsewhere may be in any encoding.
        let isExact = key.hasPrefix("tokenizer.")
        let kind = try kind(key)
        switch kind {
        case .string: return .text(try text(isExact: isExact))
        case .array: return try list(key, isExact: isExact)
        default:
            let start = position
            guard let value = GGUFValue(kind, try take(kind.byteCount ?? 0)) else {
                throw failure("a number that can't be right", at: start, key: key)
            }
            return value
        }
    }

    private mutating func list(_ key: String, isExact: Bool) throws(CheckpointError) -> GGUFValue {
        let start = position
        let kind = try kind(key)
        guard kind != .array else { throw failure("a list of lists, which can't be read here", at: start, key: key) }
        let size = kind.byteCount ?? 8
        let count = try count(leastByteCount: size, atMost: Self.greatestListCount, "elements")
        if kind == .string {
            var texts: [String] = []
            for _ in 0..<count { texts.append(try text(isExact: isExact)) }
            return .texts(texts)
        }
        let list = try take(count * size)
        switch kind {
        case .int32, .uint32, .int64, .uint64:
            var integers: [Int] = []
            integers.reserveCapacity(count)
            for place in stride(from: list.startIndex, to: list.endIndex, by: size) {
                guard case .integer(let integer) = GGUFValue(kind, list[place..<place + size]) else {
                    throw failure("a number that can't be right", at: place, key: key)
                }
                integers.append(integer)
            }
            return .integers(integers)
        case .float32:
            return .numbers(
                stride(from: list.startIndex, to: list.endIndex, by: size).map { place in
                    Float(bitPattern: list[place..<place + size].reversed().reduce(0) { $0 << 8 | UInt32($1) })
                })
        default: return .list
        }
    }

    private mutating func kind(_ key: String) throws(CheckpointError) -> GGUFValue.Kind {
        let start = position
        let number = try number(4)
        guard let kind = GGUFValue.Kind(rawValue: number) else {
            throw failure("a value type that isn't known", at: start, key: key, found: "number \(number)")
        }
        return kind
    }

    // MARK: Bytes

    /// A count of things that have at least some bytes each, bounded by the bytes that are left.
    private mutating func count(
        leastByteCount: Int, atMost greatest: Int = .max, _ what: String
    ) throws(CheckpointError) -> Int {
        let start = position
        let count = try number(8)
        let limit = min((limit - position) / leastByteCount, greatest)
        guard count <= limit else {
            throw failure(
                "more \(what) than the header has room for", at: start, expected: "at most \(limit)", found: "\(count)")
        }
        return count
    }

    private mutating func text(
        atMost longest: Int = .max, isExact: Bool = true
    ) throws(CheckpointError) -> String {
        let start = position
        let bytes = try take(try count(leastByteCount: 1, atMost: longest, "bytes of text"))
        guard isExact else { return String(decoding: bytes, as: UTF8.self) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw failure("isn't UTF-8", at: start) }
        return text
    }

    private mutating func number(_ byteCount: Int) throws(CheckpointError) -> Int {
        let start = position
        let value = try take(byteCount).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard let number = Int(exactly: value) else {
            throw failure("a number that can't be right", at: start, found: "\(value)")
        }
        return number
    }

    private mutating func take(_ count: Int) throws(CheckpointError) -> ArraySlice<UInt8> {
        guard count <= limit - position else {
            throw failure("the header ends early", expected: "\(count) more bytes", found: "\(limit - position)")
        }
        if bytes.count < position + count {
            let end = min(limit, max(position + count, 2 * bytes.count, Self.chunkByteCount))
            bytes += try file.bytes(bytes.count..<end)
        }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// - Parameter place: bytes from the start of the file; where reading stopped unless it is given.
    private func failure(
        _ message: String, at place: Int? = nil, key: String? = nil, tensor: String? = nil, expected: String? = nil,
        found: String? = nil, advice: String? = nil
    ) -> CheckpointError {
        CheckpointError(
            .malformedHeader, message, path: file.path, offset: place ?? position,
            tensor: tensor.map { String($0.prefix(200)) }, key: key.map { String($0.prefix(200)) }, expected: expected,
            found: found, advice: advice)
    }
}
