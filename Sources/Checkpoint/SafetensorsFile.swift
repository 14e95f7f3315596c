/// An open safetensors file, its header checked. Data are read by range, from any number of threads.
package final class SafetensorsFile: Sendable {
    package let file: InputFile
    package let header: SafetensorsHeader
    package var path: String { file.path }

    package init(path: String) throws(CheckpointError) {
        file = try InputFile(path: path)
        let prefix = try file.bytes(0..<min(8, file.byteCount))
        let length = try SafetensorsHeader.jsonByteCount(of: prefix, fileByteCount: file.byteCount, path: path)
        header = try SafetensorsHeader(json: try file.bytes(8..<8 + length), fileByteCount: file.byteCount, path: path)
    }

    package func tensor(named name: String) -> SafetensorsHeader.Tensor? {
        header.tensors.first { $0.name == name }
    }

    /// A small tensor of floats as it stands, converted from F32, F16 or BF16.
    package func floats(of tensor: SafetensorsHeader.Tensor) throws(CheckpointError) -> [Float] {
        guard tensor.element.isPlainFloat else {
            throw wrongElement(tensor, expected: "F32, F16 or BF16")
        }
        let bytes = try file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        var values = [Float](repeating: 0, count: tensor.elementCount)
        unsafe bytes.withUnsafeBytes { source in
            unsafe values.withUnsafeMutableBufferPointer {
                unsafe FloatReading.convert(tensor.element, source, into: $0)
            }
        }
        return values
    }

    /// A small tensor of I32 or I64, such as the ids of a prompt.
    package func integers(of tensor: SafetensorsHeader.Tensor) throws(CheckpointError) -> [Int] {
        guard tensor.element == .i32 || tensor.element == .i64 else {
            throw wrongElement(tensor, expected: "I32 or I64")
        }
        let bytes = try file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        let size = tensor.element.byteCount
        return stride(from: 0, to: bytes.count, by: size).map { start in
            let bits = bytes[start..<start + size].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return size == 4 ? Int(Int32(truncatingIfNeeded: bits)) : Int(Int64(bitPattern: bits))
        }
    }

    private func wrongElement(_ tensor: SafetensorsHeader.Tensor, expected: String) -> CheckpointError {
        CheckpointError(
            .wrongTensor, "an element type that can't be read here", path: path, offset: tensor.offset,
            tensor: tensor.name, expected: expected, found: tensor.element.rawValue)
    }
}
