import Compute
import Container
import ContainerFixtures

/// Writes an index straight from `FORMAT.md`, for data that isn't there.
struct RecordTable {
    private var records: [UInt8] = []
    private var count = 0
    /// Where the data ends.
    private(set) var end = 4096

    mutating func append(_ tensor: TensorRequirement, _ shape: MatrixShape) {
        put(1, 1)
        put(0, 1)
        put(Int(tensor.key.role.rawValue), 2)
        put(tensor.key.layer ?? 0xFFFF_FFFF, 4)
        put(0xFFFF_FFFF, 4)
        put(Int(shape.format.rawValue), 1)
        put(0, 1)
        put(Int(shape.layout.rawValue), 1)
        put(0, 1)
        put(shape.rows, 8)
        put(shape.columns, 8)
        place(shape.byteCount, alignment: 64)
    }

    /// An expert of `SmallModel`.
    mutating func append(_ expert: ExpertKey, _ byteCount: Int) {
        put(2, 1)
        put(0, 3)
        put(expert.layer, 4)
        put(expert.expert, 4)
        put(Int(BlockFormat.q8.rawValue), 2)
        put(Int(BlockFormat.q8.rawValue), 2)
        put(32, 8)
        put(32, 8)
        place(byteCount, alignment: 16384)
    }

    func index(metadata: [UInt8]) -> [UInt8] {
        var header = RecordTable()
        header.put(metadata.count, 8)
        header.put(0, 24)
        header.put(count, 8)
        header.put(64, 4)
        header.put(0, 20)
        return header.records + metadata + [UInt8](repeating: 0, count: (8 - metadata.count % 8) % 8) + records
    }

    private mutating func place(_ byteCount: Int, alignment: Int) {
        let offset = (end + alignment - 1) / alignment * alignment
        put(offset, 8)
        put(byteCount, 8)
        put(byteCount, 8)
        put(0, 8)
        end = offset + byteCount
        count += 1
    }

    private mutating func put(_ value: Int, _ byteCount: Int) {
        for byte in 0..<byteCount { records.append(byte < 8 ? UInt8(truncatingIfNeeded: value >> (8 * byte)) : 0) }
    }
}
