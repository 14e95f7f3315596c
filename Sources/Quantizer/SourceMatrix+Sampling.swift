import Checkpoint

extension SourceMatrix {
    /// Weights that are in memory at once, unless a single range has more.
    private static let weightLimit = 1 << 19

    /// Calls `body` with the values, row-major, and the number of rows of each range.
    ///
    /// - Parameter ranges: in ascending order, none of them empty.
    func forEach(of ranges: [Range<Int>], _ body: (UnsafePointer<Float>, Int) throws -> Void) throws {
        var rest = ranges[...]
        while let first = rest.first {
            var (count, rowCount) = (1, first.count)
            while count < rest.count, (rowCount + rest[rest.startIndex + count].count) * columns <= Self.weightLimit {
                rowCount += rest[rest.startIndex + count].count
                count += 1
            }
            let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: rowCount * columns)
            defer { unsafe values.deallocate() }
            try unsafe readRows(Array(rest.prefix(count)), into: values)
            guard var start = unsafe UnsafePointer(values.baseAddress) else { return }
            for range in rest.prefix(count) {
                try unsafe body(start, range.count)
                unsafe start += range.count * columns
            }
            rest = rest.dropFirst(count)
        }
    }
}
