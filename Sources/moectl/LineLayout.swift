/// Where the characters of an edited line stand on a terminal that wraps at `columnCount`.
package struct LineLayout: Equatable {
    /// What to print: the line with its own line feeds as `\r\n`, and control characters made visible.
    package private(set) var text = ""
    package private(set) var cursorRow = 0
    package private(set) var cursorColumn = 0
    package private(set) var endRow = 0
    private var column: Int

    package init(prompt: String, characters: [Character], cursor: Int, columnCount: Int) {
        column = 0
        for character in prompt { place(character, columnCount) }
        for (index, character) in characters.enumerated() {
            if index == cursor { markCursor() }
            place(character, columnCount)
        }
        if cursor >= characters.count { markCursor() }
    }

    private mutating func markCursor() {
        cursorRow = endRow
        cursorColumn = column
    }

    private mutating func place(_ character: Character, _ columnCount: Int) {
        if character == "\n" {
            breakLine()
            return
        }
        let shown = character == "\t" ? " " : TerminalText.neutralized(String(character))
        let width = Self.width(of: shown)
        if column + width > columnCount { breakLine() }
        text += shown
        column += width
        if column >= columnCount { breakLine() }
    }

    /// An explicit break, so that no terminal's own idea of the last column matters.
    private mutating func breakLine() {
        text += "\r\n"
        endRow += 1
        column = 0
    }

    /// Columns: 2 for East Asian wide characters and emoji, 0 for what only changes its neighbour.
    private static func width(of text: String) -> Int {
        text.unicodeScalars.map(width).max() ?? 0
    }

    private static func width(of scalar: Unicode.Scalar) -> Int {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: break
        }
        let isWide = scalar.properties.isEmojiPresentation || wideRanges.contains { $0 ~= scalar.value }
        return isWide ? 2 : 1
    }

    /// The blocks of width W and F in Unicode's EastAsianWidth.txt, with the small gaps between them.
    private static let wideRanges: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3, 0xF900...0xFAFF,
        0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x20000...0x3FFFD,
    ]
}
