import Glibc
import Synchronization

/// Reads lines from standard input: with editing and history on a terminal, plainly elsewhere.
///
/// Its calls block; they belong on a thread that may wait.
package final class LineReader: Sendable {
    package enum Input: Equatable, Sendable {
        case line(String)
        case interrupted(wasEmpty: Bool)
        case endOfInput
    }

    private struct State {
        var parser = KeyParser()
        /// What was typed ahead stays for the next line.
        var waitingKeys: [Key] = []
    }

    private let terminal: Terminal
    private let state = Mutex(State())

    package init(terminal: Terminal) {
        self.terminal = terminal
    }

    /// Whether Ctrl-C reaches `read` as a key.
    package var editsLines: Bool {
        terminal.inputIsInteractive && terminal.outputIsInteractive && terminal.allowsEscapes
    }

    package func read(prompt: String, history: [String]) throws(ClientError) -> Input {
        guard terminal.inputIsInteractive, terminal.outputIsInteractive else { return readPlainly() }
        guard terminal.allowsEscapes else {
            try OutputStream.output.write(prompt)
            return readPlainly()
        }
        var original = termios()
        guard tcgetattr(STDIN_FILENO, &original) == 0 else { return readPlainly() }
        var raw = original
        cfmakeraw(&raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
        defer { tcsetattr(STDIN_FILENO, TCSADRAIN, &original) }
        try OutputStream.output.write(Escape.beginPasteMode)
        let input = try state.withLock { state throws(ClientError) in
            try Self.edit(prompt: prompt, history: history, state: &state)
        }
        try OutputStream.output.write("\(Escape.endPasteMode)\r\n")
        return input
    }

    /// Keeps what is typed meanwhile from being shown in the middle of other output; it stays for the next line.
    package func withoutEcho<Result>(_ operation: () async throws -> Result) async rethrows -> Result {
        var original = termios()
        guard editsLines, tcgetattr(STDIN_FILENO, &original) == 0 else { return try await operation() }
        var silent = original
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &silent)
        defer { tcsetattr(STDIN_FILENO, TCSADRAIN, &original) }
        return try await operation()
    }

    private func readPlainly() -> Input {
        readLine(strippingNewline: true).map { .line($0) } ?? .endOfInput
    }

    private static func edit(
        prompt: String, history: [String], state: inout State
    ) throws(ClientError) -> Input {
        var editor = LineEditor(history: history)
        var shown = try show(editor, prompt: prompt, above: 0)
        while true {
            while state.waitingKeys.isEmpty {
                guard let bytes = readBytes() else { return .endOfInput }
                state.waitingKeys = state.parser.append(bytes)
            }
            let outcome = editor.handle(state.waitingKeys.removeFirst())
            switch outcome {
            case .edited: if !state.waitingKeys.isEmpty { continue }
            case .clearScreen:
                try OutputStream.output.write(Escape.clearScreen)
                shown = LineLayout(prompt: "", characters: [], cursor: 0, columnCount: 80)
            case .line, .interrupted, .endOfInput: editor.moveToEnd()
            }
            shown = try show(editor, prompt: prompt, above: shown.cursorRow)
            switch outcome {
            case .edited, .clearScreen: break
            case .line(let line): return .line(line)
            case .interrupted(let wasEmpty): return .interrupted(wasEmpty: wasEmpty)
            case .endOfInput: return .endOfInput
            }
        }
    }

    /// Prints the line over its earlier form, whose cursor stood `rowCount` rows below its first row.
    private static func show(
        _ editor: LineEditor, prompt: String, above rowCount: Int
    ) throws(ClientError) -> LineLayout {
        let layout = LineLayout(
            prompt: prompt, characters: editor.characters, cursor: editor.cursor, columnCount: Terminal.columnCount)
        var output = rowCount > 0 ? "\u{1B}[\(rowCount)A" : ""
        output += "\r\(Escape.clearBelow)\(layout.text)"
        if layout.endRow > layout.cursorRow { output += "\u{1B}[\(layout.endRow - layout.cursorRow)A" }
        output += "\r"
        if layout.cursorColumn > 0 { output += "\u{1B}[\(layout.cursorColumn)C" }
        try OutputStream.output.write(output)
        return layout
    }

    /// nil at the end of the input.
    private static func readBytes() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(STDIN_FILENO, &buffer, buffer.count)
            if count > 0 { return Array(buffer.prefix(count)) }
            if count == 0 || errno != EINTR { return nil }
        }
    }
}
