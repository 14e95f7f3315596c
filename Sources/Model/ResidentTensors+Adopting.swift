import Compute
import Container
import Synchronization

extension ResidentTensors.Places {
    /// Of tensors that should be in their places already, those whose bytes don't have their checksum.
    func damaged(_ records: [TensorRecord], on pool: ThreadPool) -> [TensorRecord] {
        let found = Mutex<[TensorRecord]>([])
        pool.forEach(records.count) { index in
            let record = records[index]
            guard let place = tensors[record.key]?.offset else { return }
            let bytes = unsafe UnsafeRawBufferPointer(start: memory.base + place, count: record.byteCount)
            if unsafe XXH3.hash(bytes) != record.checksum { found.withLock { $0.append(record) } }
        }
        return found.withLock { $0 }.sorted { $0.offset < $1.offset }
    }
}
