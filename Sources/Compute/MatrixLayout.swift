/// Where the elements of a matrix stand in memory and in the file.
///
/// The raw values are part of the `.moe` format.
package enum MatrixLayout: UInt8, Sendable, CaseIterable {
    /// Rows one after the other, for arrays whose rows are gathered (embeddings) and for vectors.
    case rows = 0
    /// Panels of eight rows, the form that the kernels read (`MatrixShape`).
    case panels = 1
}

/// The shape and encoding of a matrix of `rows` outputs by `columns` inputs, and the byte positions that follow from it.
///
/// - `.panels`: the rows are padded to a multiple of 8 and every 8 rows form a panel. A quantised panel is
///   `scales ‖ codes`: 16-bit `scales[columns / 32][8]`, padded to 64 bytes, then per group of 32 inputs
///   128 bytes (`q4`) or 256 bytes (`q8`) of codes with the rows interleaved every 4 bytes:
///   - `q8`: byte `l·32 + row·4 + i` (l = 0…7) holds input `4l + i`;
///   - `q4`: byte `l·32 + row·4 + i` (l = 0…3) holds input `4l + i` in its low and `16 + 4l + i` in its high nibble.
///   A panel of an unquantised format holds its 8 rows one after the other, padded to 64 bytes as a whole.
/// - `.rows`: a quantised row is 16-bit `scales[columns / 32]`, padded to 64 bytes, then per group 32 bytes (`q8`, in
///   order) or 16 bytes (`q4`, byte `i` holds input `i` in its low and `16 + i` in its high nibble), padded to 64 bytes.
///   An unquantised row has no padding between rows.
package struct MatrixShape: Sendable, Equatable {
    package var rows: Int
    package var columns: Int
    package var format: BlockFormat
    package var layout: MatrixLayout
    /// Of a quantised matrix; the bytes stand in the same places either way.
    package var scaleFormat: ScaleFormat

    package init(
        rows: Int, columns: Int, format: BlockFormat, layout: MatrixLayout, scaleFormat: ScaleFormat = .f16
    ) {
        self.rows = rows
        self.columns = columns
        self.format = format
        self.layout = layout
        self.scaleFormat = scaleFormat
    }

    package static let panelRows = 8
    package static let alignment = 64

    package var groupsPerRow: Int { columns / BlockFormat.groupSize }
    package var panelCount: Int { (rows + Self.panelRows - 1) / Self.panelRows }

    /// Bytes of the scale plane of one panel (`.panels`) or one row (`.rows`), padding included; 0 when unquantised.
    package var scaleByteCount: Int {
        guard format.isQuantized else { return 0 }
        return Self.padded(groupsPerRow * 2 * (layout == .panels ? Self.panelRows : 1))
    }

    /// Bytes from one panel (`.panels`) or one row (`.rows`) to the next.
    package var strideByteCount: Int {
        let rowsTogether = layout == .panels ? Self.panelRows : 1
        switch format {
        case .f32: return unquantizedStride(columns * 4 * rowsTogether)
        case .bf16, .f16: return unquantizedStride(columns * 2 * rowsTogether)
        case .q8: return scaleByteCount + Self.padded(columns * rowsTogether)
        case .q4: return scaleByteCount + Self.padded(columns / 2 * rowsTogether)
        }
    }

    /// Bytes of the whole matrix. The caller has bounded `rows` and `columns`; see `checkedByteCount`.
    package var byteCount: Int { strideByteCount * (layout == .panels ? panelCount : rows) }

    /// `byteCount` for a shape that comes from outside: nil if it is empty, if a quantised row isn't a whole number
    /// of groups, or if the size passes 2^62.
    package var checkedByteCount: Int? {
        guard rows > 0, columns > 0, rows <= 1 << 31, columns <= 1 << 27 else { return nil }
        guard !format.isQuantized || columns % BlockFormat.groupSize == 0 else { return nil }
        let (product, overflow) = strideByteCount.multipliedReportingOverflow(by: layout == .panels ? panelCount : rows)
        return overflow || product > 1 << 62 ? nil : product
    }

    private func unquantizedStride(_ byteCount: Int) -> Int {
        layout == .panels ? Self.padded(byteCount) : byteCount
    }

    package static func padded(_ byteCount: Int) -> Int { (byteCount + alignment - 1) / alignment * alignment }
}
