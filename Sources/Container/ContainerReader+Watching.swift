internal import Synchronization

/// How the file at the reader's path stands to the one that it reads.
package enum FileCondition: Sendable, Equatable {
    /// It is the very file, or one with the same model in it.
    case same
    /// The file was written to or cut, and isn't the model any more.
    case damaged(String)
    /// Another file stands there; the reader goes on with its own.
    case replaced(String)
    /// Nothing stands there, or it can't be looked at; the reader goes on with its own.
    case missing(String)

    /// For people; nil when all is well.
    package var problem: String? {
        switch self {
        case .same: nil
        case .damaged(let reason): "the model's file was changed while it is served: \(reason)"
        case .replaced(let reason):
            "another file stands where the model's was, which is served on until a restart: \(reason)"
        case .missing(let reason): "the model's file is gone from its place, and served on while it is open: \(reason)"
        }
    }
}

extension ContainerReader {
    /// The open file's present state; nil when the system doesn't tell.
    package var stamp: FileStamp? { file.stamp }

    /// Looks whether the file at the path is still the model.
    ///
    /// Where another file with the very same index has taken its place (a copy, put back after damage), it is read from
    /// now on: what an expert or tensor holds is compared with the index's checksums in either case. One thread calls it.
    package func look() -> FileCondition {
        let there: FileStamp
        switch PositionedFile.stamp(ofPath: path) {
        case .success(let stamp): there = stamp
        case .failure(let error): return .missing(error.found)
        }
        return seen.withLock { seen in
            if let seen, seen.stamp == there { return seen.condition }
            let condition = condition(of: there)
            seen = (there, condition)
            return condition
        }
    }

    private func condition(of there: FileStamp) -> FileCondition {
        let isOwn = file.stamp.map { $0.isSameFile(as: there) } ?? false
        func bad(_ reason: String) -> FileCondition { isOwn ? .damaged(reason) : .replaced(reason) }
        do throws(ContainerError) {
            let other = try ContainerReader(path: path)
            guard other.indexChecksum == indexChecksum, other.fileByteCount == fileByteCount else {
                return bad(
                    "its index has the checksum \(hexadecimal(other.indexChecksum)) instead of "
                        + "\(hexadecimal(indexChecksum)), so it is another model")
            }
            if !isOwn {
                if let direct = directFile.withLock({ $0 }) {
                    try direct.change(to: try openedDirectly(as: other.file))
                }
                try file.change(to: other.file)
            }
            return .same
        } catch {
            return bad("\(error)")
        }
    }
}
