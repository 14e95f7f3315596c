import Glibc
import SystemPackage

/// Writes small safetensors files: what a trace computed, and the inputs of tests. For tensors that are in memory.
package struct SafetensorsWriter {
    private var entries: [(name: String, element: ElementType, shape: [Int], bytes: [UInt8])] = []

    private let metadata: [String: String]

    /// - Parameter metadata: for `__metadata__`.
    package init(metadata: [String: String] = [:]) { self.metadata = metadata }

    /// - Parameters:
    ///   - name: not yet in the file.
    ///   - bytes: the elements, row-major and little-endian, as many as the shape says.
    package mutating func add(_ name: String, _ element: ElementType, shape: [Int], bytes: [UInt8]) {
        precondition(bytes.count == shape.reduce(element.byteCount, *))
        precondition(!entries.contains { $0.name == name })
        entries.append((name, element, shape, bytes))
    }

    package mutating func add(_ name: String, shape: [Int], floats: [Float]) {
        add(name, .f32, shape: shape, bytes: floats.flatMap { littleEndian($0.bitPattern) })
    }

    package mutating func add(_ name: String, shape: [Int], integers: [Int32]) {
        add(name, .i32, shape: shape, bytes: integers.flatMap { littleEndian(UInt32(bitPattern: $0)) })
    }

    package mutating func add(_ name: String, shape: [Int], integers: [Int64]) {
        add(name, .i64, shape: shape, bytes: integers.flatMap { littleEndian(UInt64(bitPattern: $0)) })
    }

    private var header: [UInt8] {
        Self.header(metadata, entries.map { ($0.name, $0.element, $0.shape) })
    }

    /// The header with its length, padded with spaces so that the data begin at a multiple of 8. The tensors' bytes
    /// follow it without gaps.
    static func header(
        _ metadata: [String: String], _ tensors: [(name: String, element: ElementType, shape: [Int])]
    ) -> [UInt8] {
        var text = "{"
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }
            text += "\"__metadata__\":{"
            text += pairs.map { "\"\(Self.escaped($0.key))\":\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            text += "}"
        }
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.shape.reduce(tensor.element.byteCount, *)
            text += (text == "{" ? "" : ",") + "\"\(Self.escaped(tensor.name))\":"
            text += "{\"dtype\":\"\(tensor.element.rawValue)\",\"shape\":["
            text += tensor.shape.map(String.init).joined(separator: ",") + "],\"data_offsets\":[\(offset),\(end)]}"
            offset = end
        }
        text += "}"
        let json = Array(text.utf8) + Array(repeating: UInt8(ascii: " "), count: (8 - text.utf8.count % 8) % 8)
        return (0..<8).map { UInt8(truncatingIfNeeded: json.count >> ($0 * 8)) } + json
    }

    private static func escaped(_ name: String) -> String {
        name.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case _ where scalar.value < 0x20:
                "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }.joined()
    }

    /// Replaces `path` only when everything is written.
    package func write(to path: String) throws(CheckpointError) {
        let partial = path + ".partial"
        do {
            let descriptor = try FileDescriptor.open(
                FilePath(partial), .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try descriptor.closeAfter {
                try descriptor.writeAll(header)
                for entry in entries { try descriptor.writeAll(entry.bytes) }
            }
        } catch {
            throw CheckpointError(.inputOutput, "can't be written: \(error)", path: path)
        }
        guard unsafe rename(partial, path) == 0 else {
            throw CheckpointError(.inputOutput, "can't be written: \(Errno(rawValue: errno))", path: path)
        }
    }
}

private func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}
