/// An open GGUF file (version 2 or 3, little-endian), its header checked: its metadata, and names, types, shapes and
/// places of its tensors.
package final class GGUFFile: Sendable {
    package struct Tensor: Sendable, Equatable {
        package var name: String
        /// The innermost dimension first.
        package var dimensions: [Int]
        package var type: GGUFType
        /// Bytes from the start of the file.
        package var offset: Int

        package var elementCount: Int { dimensions.reduce(1, *) }
        /// Of the innermost dimension.
        var rowByteCount: Int { dimensions[0] / type.blockLength * type.blockByteCount }
        /// Of the other dimensions together.
        var rowCount: Int { dimensions.dropFirst().reduce(1, *) }
        var byteCount: Int { rowByteCount * rowCount }
    }

    package let file: InputFile
    /// In the order of their bytes.
    package let tensors: [Tensor]
    package let values: [String: GGUFValue]
    package var path: String { file.path }

    package static let magic = Array("GGUF".utf8)
    /// Of headers. The largest vocabularies take 12 MB, thousands of tensors' descriptions one.
    static let greatestHeader = 1 << 26

    package init(_ file: InputFile) throws(CheckpointError) {
        self.file = file
        var reader = GGUFReader(file)
        (values, tensors) = try reader.header()
    }

    /// The values of a small F32 tensor.
    package func floats(of tensor: Tensor) throws(CheckpointError) -> [Float] {
        guard tensor.type == .f32 else {
            throw CheckpointError(
                .wrongTensor, "an element type that can't be read here", path: path, offset: tensor.offset,
                tensor: tensor.name, expected: GGUFType.f32.name, found: tensor.type.name)
        }
        let bytes = try file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        var values = [Float](repeating: 0, count: tensor.elementCount)
        unsafe bytes.withUnsafeBytes { source in
            unsafe values.withUnsafeMutableBytes { unsafe $0.copyMemory(from: source) }
        }
        return values
    }

    // MARK: Typed values; nil where the key is absent or its value of another kind

    package func text(_ key: String) -> String? {
        if case .text(let text) = values[key] { text } else { nil }
    }

    package func texts(_ key: String) -> [String]? {
        if case .texts(let texts) = values[key] { texts } else { nil }
    }

    package func integer(_ key: String) -> Int? {
        if case .integer(let integer) = values[key] { integer } else { nil }
    }
}
