import FoundationEssentials
import TestSupport

/// A GGUF file to be written: metadata and tensors in order, any of which a test may have changed.
package struct GGUFImage {
    package enum Value {
        case uint32(UInt32)
        case int32(Int32)
        case float32(Float)
        case bool(Bool)
        case text(String)
        case texts([String])
        case int32s([Int32])
        case float32s([Float])
        /// Any type's number and bytes.
        case raw(kind: UInt32, [UInt8])
    }

    package struct Tensor: Equatable {
        package var name: String
        /// The innermost dimension first.
        package var dimensions: [Int]
        /// The type's number.
        package var kind: UInt32
        package var bytes: [UInt8]
        /// Added to the place that it gets.
        package var offsetError = 0

        package init(name: String, dimensions: [Int], kind: UInt32, bytes: [UInt8]) {
            self.name = name
            self.dimensions = dimensions
            self.kind = kind
            self.bytes = bytes
        }
    }

    package var magic = "GGUF"
    package var version: UInt32 = 3
    package var values: [(key: String, value: Value)] = []
    package var tensors: [Tensor] = []
    package var alignment = 32

    package init() {}

    package subscript(key: String) -> Value? {
        get { values.first { $0.key == key }?.value }
        set {
            if let index = values.firstIndex(where: { $0.key == key }) {
                if let newValue { values[index].value = newValue } else { values.remove(at: index) }
            } else if let newValue {
                values.append((key, newValue))
            }
        }
    }

    package subscript(tensor name: String) -> Tensor? {
        get { tensors.first { $0.name == name } }
        set {
            if let index = tensors.firstIndex(where: { $0.name == name }) {
                if let newValue { tensors[index] = newValue } else { tensors.remove(at: index) }
            } else if let newValue {
                tensors.append(newValue)
            }
        }
    }

    package var bytes: [UInt8] {
        var bytes = header
        let start = padded(bytes.count)
        bytes += [UInt8](repeating: 0, count: start - bytes.count)
        for tensor in tensors {
            bytes += tensor.bytes
            bytes += [UInt8](repeating: 0, count: padded(bytes.count) - bytes.count)
        }
        return bytes
    }

    /// Everything before the padding of the first tensor.
    package var header: [UInt8] {
        var bytes = Array(magic.utf8) + little(version) + little(UInt64(tensors.count)) + little(UInt64(values.count))
        for (key, value) in values { bytes += text(key) + encoded(value) }
        var offset = 0
        for tensor in tensors {
            bytes += text(tensor.name) + little(UInt32(tensor.dimensions.count))
            bytes += tensor.dimensions.flatMap { little(UInt64($0)) }
            bytes += little(tensor.kind) + little(UInt64(truncatingIfNeeded: offset &+ tensor.offsetError))
            offset = padded(offset + tensor.bytes.count)
        }
        return bytes
    }

    package func write(to path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }

    /// The model in so many files, the first of which has the metadata.
    package func split(into count: Int) -> [GGUFImage] {
        (0..<count).map { number in
            var part = GGUFImage()
            if number == 0 { part.values = values }
            part["split.no"] = .raw(kind: 2, little(UInt16(number)))
            part["split.count"] = .raw(kind: 2, little(UInt16(count)))
            part["split.tensors.count"] = .int32(Int32(tensors.count))
            part.tensors = tensors.enumerated().filter { $0.offset * count / tensors.count == number }.map(\.element)
            return part
        }
    }

    private func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    private func encoded(_ value: Value) -> [UInt8] {
        switch value {
        case .uint32(let value): little(UInt32(4)) + little(value)
        case .int32(let value): little(UInt32(5)) + little(value)
        case .float32(let value): little(UInt32(6)) + little(value.bitPattern)
        case .bool(let value): little(UInt32(7)) + [value ? 1 : 0]
        case .text(let value): little(UInt32(8)) + text(value)
        case .texts(let values): list(8, values.map(text))
        case .int32s(let values): list(5, values.map(little))
        case .float32s(let values): list(6, values.map { little($0.bitPattern) })
        case .raw(let kind, let bytes): little(kind) + bytes
        }
    }

    private func list(_ kind: UInt32, _ elements: [[UInt8]]) -> [UInt8] {
        little(UInt32(9)) + little(kind) + little(UInt64(elements.count)) + elements.joined()
    }

    private func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + text.utf8 }
}

package func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
