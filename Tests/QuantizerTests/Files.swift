import Checkpoint
import FoundationEssentials
import Glibc

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

extension [UInt8] {
    func write(to path: String) throws { try Data(self).write(to: URL(filePath: path)) }
}

extension SourceMatrix {
    func values(rows range: Range<Int>) throws -> [Float] {
        var values = [Float](repeating: .nan, count: range.count * columns)
        try values.withUnsafeMutableBufferPointer { try readRows(range, into: $0) }
        return values
    }
}
