/// One line (which may hold pasted line feeds) while a person types it, with a history to walk through. No terminal
/// in here: keys go in, and what is to be shown comes out.
package struct LineEditor {
    package enum Outcome: Equatable, Sendable {
        /// Go on, showing the line anew.
        case edited
        /// Go on with a cleared screen.
        case clearScreen
        case line(String)
        /// Ctrl-C: the line is given up.
        case interrupted(wasEmpty: Bool)
        /// Ctrl-D on an empty line.
        case endOfInput
    }

    package private(set) var characters: [Character] = []
    package private(set) var cursor = 0
    private let history: [String]
    private var historyIndex: Int
    /// What was being typed before the walk through the history.
    private var draft: [Character] = []

    package init(history: [String] = []) {
        self.history = history
        historyIndex = history.count
    }

    package mutating func handle(_ key: Key) -> Outcome {
        switch key {
        case .enter: return .line(String(characters))
        case .control("c"): return .interrupted(wasEmpty: characters.isEmpty)
        case .control("d") where characters.isEmpty: return .endOfInput
        case .control("l"): return .clearScreen
        case .text(let character): insert([character])
        case .paste(let text): insert(Array(text))
        case .backspace, .control("h"): remove(max(cursor - 1, 0)..<cursor)
        case .delete, .control("d"): remove(cursor..<min(cursor + 1, characters.count))
        case .left, .control("b"): cursor = max(cursor - 1, 0)
        case .right, .control("f"): cursor = min(cursor + 1, characters.count)
        case .home, .control("a"): cursor = 0
        case .end, .control("e"): cursor = characters.count
        case .wordLeft: cursor = wordStart
        case .wordRight: cursor = wordEnd
        case .control("w"): remove(wordStart..<cursor)
        case .control("u"): remove(0..<cursor)
        case .control("k"): remove(cursor..<characters.count)
        case .up, .control("p"): walk(to: historyIndex - 1)
        case .down, .control("n"): walk(to: historyIndex + 1)
        case .control: break
        }
        return .edited
    }

    /// Puts the cursor where output may go on below the line.
    package mutating func moveToEnd() {
        cursor = characters.count
    }

    private mutating func insert(_ text: [Character]) {
        characters.insert(contentsOf: text, at: cursor)
        cursor += text.count
    }

    private mutating func remove(_ range: Range<Int>) {
        characters.removeSubrange(range)
        cursor = range.lowerBound
    }

    private mutating func walk(to index: Int) {
        guard 0...history.count ~= index, index != historyIndex else { return }
        if historyIndex == history.count { draft = characters }
        historyIndex = index
        characters = index == history.count ? draft : Array(history[index])
        cursor = characters.count
    }

    private var wordStart: Int {
        var index = cursor
        while index > 0, characters[index - 1].isWhitespace { index -= 1 }
        while index > 0, !characters[index - 1].isWhitespace { index -= 1 }
        return index
    }

    private var wordEnd: Int {
        var index = cursor
        while index < characters.count, characters[index].isWhitespace { index += 1 }
        while index < characters.count, !characters[index].isWhitespace { index += 1 }
        return index
    }
}
