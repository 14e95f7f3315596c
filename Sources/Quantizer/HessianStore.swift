import Checkpoint
import Compute
import Container
import Synchronization

/// Second-order matrices of inputs, Σ x xᵀ, as `calibrate` recorded them beside the importance matrix. They stay in their
/// file until a matrix is quantised: those of a large model pass any memory.
package final class HessianStore: Sendable {
    private let file: SafetensorsFile
    private let entries: [HessianKey: Entry]
    private let cache = Mutex<[CacheEntry]>([])

    private struct Entry {
        var tensor: SafetensorsHeader.Tensor
        var columns: Int
        /// XXH3-64 of its bytes.
        var checksum: UInt64
    }

    /// Made once by the first who asks; the others wait.
    private final class CacheEntry: Sendable {
        let key: HessianKey
        let made = Mutex<Compensation?>(nil)

        init(_ key: HessianKey) { self.key = key }
    }

    /// Inputs that several matrices share and that are quantised together: queries and latents, experts of a layer.
    static let cacheCount = 3

    static let suffix = ".hessian"
    static let checksumName = "hessians.checksums"

    /// The matrices of a file that has some; nil for one without.
    ///
    /// - Throws: `CheckpointError` for names, shapes or checksums that don't fit together.
    init?(_ file: SafetensorsFile) throws(CheckpointError) {
        let tensors = file.header.tensors.filter { $0.name.hasSuffix(Self.suffix) }.sorted { $0.name < $1.name }
        guard !tensors.isEmpty else { return nil }
        guard let stored = file.tensor(named: Self.checksumName), stored.element == .i64,
            stored.shape == [tensors.count]
        else {
            throw CheckpointError(
                .missingTensor, "the second-order matrices have no checksums beside them", path: file.path,
                tensor: Self.checksumName, expected: "I64 [\(tensors.count)]")
        }
        let checksums = try file.integers(of: stored)
        var entries: [HessianKey: Entry] = [:]
        for (tensor, checksum) in zip(tensors, checksums) {
            guard let key = HessianKey(String(tensor.name.dropLast(Self.suffix.count))) else {
                throw CheckpointError(
                    .unexpectedTensor, "no input of a model's matrices has this name", path: file.path,
                    offset: tensor.offset, tensor: String(tensor.name.prefix(200)))
            }
            let columns = tensor.shape.count == 1 ? Self.order(count: tensor.shape[0]) : nil
            guard tensor.element == .f32, let columns else {
                throw CheckpointError(
                    .wrongTensor, "not the lower triangle of a square matrix", path: file.path, offset: tensor.offset,
                    tensor: tensor.name, expected: "F32 [n · (n + 1) / 2]",
                    found: "\(tensor.element.rawValue) \(tensor.shape)")
            }
            entries[key] = Entry(tensor: tensor, columns: columns, checksum: UInt64(bitPattern: Int64(checksum)))
        }
        self.file = file
        self.entries = entries
    }

    /// The n of n · (n + 1) / 2.
    private static func order(count: Int) -> Int? {
        guard count > 0, count <= 1 << 46 else { return nil }
        let order = Int((Double(count) * 2).squareRoot())
        return (max(1, order - 1)...order + 1).first { PackedTriangle.count(order: $0) == count }
    }

    /// Of everything, for a fingerprint.
    var checksums: [(name: String, checksum: UInt64)] {
        entries.sorted { $0.key < $1.key }.map { ($0.key.description, $0.value.checksum) }
    }

    package var count: Int { entries.count }

    func columns(of key: HessianKey) -> Int? { entries[key]?.columns }

    /// - Throws: `CheckpointError` if it can't be read, or isn't what was written.
    func triangle(_ key: HessianKey) throws(CheckpointError) -> PackedTriangle? {
        guard let entry = entries[key] else { return nil }
        let values = try file.floats(of: entry.tensor)
        let checksum = unsafe values.withUnsafeBytes { unsafe XXH3.hash($0) }
        guard checksum == entry.checksum, values.allSatisfy(\.isFinite) else {
            throw CheckpointError(
                .wrongTensor, "damaged", path: file.path, offset: entry.tensor.offset, tensor: entry.tensor.name,
                expected: "the checksum \(hexadecimal(entry.checksum))", found: hexadecimal(checksum),
                advice: "Calibrate again")
        }
        return PackedTriangle(order: entry.columns, values: values)
    }

    /// What rounding a matrix with this input costs; nil if it wasn't recorded.
    ///
    /// - Parameter isShared: other matrices will ask for it soon.
    func compensation(for key: HessianKey, isShared: Bool) throws -> Compensation? {
        guard isShared else { return try make(key) }
        let entry = cache.withLock { cache in
            let place = cache.firstIndex { $0.key == key }
            let entry = place.map { cache.remove(at: $0) } ?? CacheEntry(key)
            cache.append(entry)
            if cache.count > Self.cacheCount { cache.removeFirst() }
            return entry
        }
        return try entry.made.withLock { made in
            if made == nil { made = try make(key) }
            return made
        }
    }

    private func make(_ key: HessianKey) throws -> Compensation? {
        guard let triangle = try triangle(key) else { return nil }
        guard let compensation = try Compensation(triangle) else {
            throw CheckpointError(
                .wrongTensor, "can't be factored: it isn't the second moment of anything", path: file.path,
                tensor: "\(key)\(Self.suffix)", advice: "Calibrate again")
        }
        return compensation
    }
}

extension HessianStore: Equatable {
    package static func == (left: HessianStore, right: HessianStore) -> Bool {
        left.checksums.elementsEqual(right.checksums) { $0 == $1 }
    }
}
