import Benchmark
import Compute
import Container
import Glibc
import Model

/// Reading a container, against reading its bytes and nothing more.
enum ContainerBenchmarks {
    /// Dense weights below this are read in less time than the rest of loading takes.
    private static let leastByteCount = 64 << 20

    static func run(_ container: ContainerReader) throws -> [Verdict] {
        let records = container.tensors.values.sorted { $0.offset < $1.offset }
        guard let first = records.first, let last = records.last else { return [] }
        let range = first.offset..<last.offset + UInt64(last.byteCount)
        let largest = records.map(\.byteCount).max() ?? 0
        let buffer = try AlignedMemory(byteCount: max(largest, 16 << 20))

        let plain = shortest { read(range, of: container.path, into: buffer) }
        let checked = try shortest {
            for record in records { try container.readTensor(record, into: buffer.base) }
        }
        var verdicts = [
            Verdict(
                name: "reading tensors from the page cache, checksums compared", ratio: checked / plain,
                meaning: "times reading the bytes", threshold: .atMost(3))
        ]
        guard range.count >= leastByteCount else { return verdicts }

        // Enough for the dense weights, and for few experts, which are read later.
        var options = MemoryPlan.Options(context: 64, chunk: 16)
        options.expertSlots = 16
        let plan = try MemoryPlan(container: container, options: options)
        let cold = shortest(of: 3, prepare: { dropCache(of: container.path) }) {
            read(range, of: container.path, into: buffer)
        }
        let load = try shortest(of: 3, prepare: { dropCache(of: container.path) }) {
            _ = try LoadedModel(container: container, plan: plan)
        }
        print("dense weights: \(range.count) bytes, read in \(cold) s from storage, loaded in \(load) s")
        verdicts.append(
            Verdict(
                name: "loading the dense weights from storage", ratio: load / cold, meaning: "times reading them",
                threshold: .atMost(1.3)))
        return verdicts
    }

    /// Clean pages go, without anybody's leave.
    private static func dropCache(of path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
    }

    private static func read(_ range: Range<UInt64>, of path: String, into buffer: AlignedMemory) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        var place = range.lowerBound
        while place < range.upperBound {
            let count = pread(
                descriptor, buffer.base, min(16 << 20, Int(range.upperBound - place)), off_t(place))
            precondition(count > 0, "\(path) can't be read")
            place += UInt64(count)
        }
    }
}
