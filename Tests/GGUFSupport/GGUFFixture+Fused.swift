import Checkpoint

/// gpt-oss' experts, which share tensors in which gate's and up's rows take turns.
extension GGUFFixture {
    /// Floats: [experts, columns, rows] for the matrices, [experts, rows] for the biases.
    mutating func addFused(_ layer: String, _ name: String, _ shape: [Int], _ values: [Float]) {
        let isBias = name.hasSuffix("_bias")
        let (experts, columns, rows) = (shape[0], isBias ? 1 : shape[1], shape[shape.count - 1])
        let parts = name.hasPrefix("down") ? ["down"] : ["gate", "up"]
        for (turn, part) in parts.enumerated() {
            let own = (0..<experts).flatMap { expert in
                stride(from: turn, to: rows, by: parts.count).flatMap { row in
                    (0..<columns).map { values[(expert * columns + $0) * rows + row] }
                }
            }
            let ownShape = [experts, rows / parts.count] + (isBias ? [] : [columns])
            put("\(layer)ffn_\(part)_exps.\(isBias ? "bias" : "weight")", ownShape, own)
        }
    }

    /// MXFP4: bytes of two neighbours [experts, rows, groups, 16] and exponents [experts, rows, groups].
    mutating func addMicroscaled(_ file: SafetensorsFile) throws {
        let suffix = "_blocks"
        for tensor in file.header.tensors where tensor.name.hasSuffix(suffix) {
            let name = String(tensor.name.dropLast(suffix.count))
            guard let scale = file.tensor(named: name + "_scales") else { continue }
            let codes = try file.file.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
            let exponents = try file.file.bytes(scale.offset..<scale.offset + scale.byteCount)
            let (experts, rows, groups) = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
            let words = name.split(separator: ".").map(String.init)
            let parts = words[words.count - 1].hasPrefix("down") ? ["down"] : ["gate", "up"]
            for (turn, part) in parts.enumerated() {
                let bytes = (0..<experts).flatMap { expert in
                    stride(from: turn, to: rows, by: parts.count).flatMap { row in
                        (0..<groups).flatMap { group in
                            let place = (expert * rows + row) * groups + group
                            return [exponents[place]] + Self.acrossHalves(codes[place * 16..<place * 16 + 16])
                        }
                    }
                }
                image.tensors.append(
                    .init(
                        name: "blk.\(words[2]).ffn_\(part)_exps.weight",
                        dimensions: [groups * 32, rows / parts.count, experts], kind: BlockWriting.mxfp4.rawValue,
                        bytes: bytes))
            }
        }
    }

    /// Elements 2i and 2i + 1 in byte i, as elements i and 16 + i.
    private static func acrossHalves(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let codes = bytes.flatMap { [$0 & 15, $0 >> 4] }
        return (0..<16).map { codes[$0] | codes[$0 + 16] << 4 }
    }
}
