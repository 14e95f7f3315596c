import Testing
import moectl

@Suite struct LineEditorTests {
    private func type(_ bytes: String, history: [String] = []) -> (LineEditor, LineEditor.Outcome) {
        var parser = KeyParser()
        var editor = LineEditor(history: history)
        var outcome = LineEditor.Outcome.edited
        for key in parser.append(bytes.utf8) { outcome = editor.handle(key) }
        return (editor, outcome)
    }

    @Test(arguments: [
        ("abc\r", "abc"),
        ("ac\u{1B}[Db\r", "abc"),
        ("abX\u{7F}c\r", "abc"),
        ("Xabc\u{01}\u{1B}[3~\r", "abc"),
        ("bc\u{1B}[Ha\r", "abc"),
        ("one two\u{17}2\r", "one 2"),
        ("junk\u{15}abc\r", "abc"),
        ("abc junk\u{1B}b\u{02}\u{0B}\r", "abc"),
        ("äö\u{7F}ü€😀\r", "äü€😀"),
        ("\u{1B}[200~two\r\nlines\u{1B}[201~!\r", "two\nlines!"),
        ("a\u{1B}[99;99~b\u{00}\r", "ab"),
    ])
    func keysEditTheLine(typed: String, expected: String) {
        #expect(type(typed).1 == .line(expected))
    }

    @Test func historyIsWalkedAndTheDraftKept() {
        let history = ["first", "second"]
        #expect(type("\u{1B}[A\r", history: history).1 == .line("second"))
        #expect(type("\u{1B}[A\u{1B}[A\u{1B}[A\r", history: history).1 == .line("first"))
        #expect(type("draft\u{1B}[A\u{1B}[B\r", history: history).1 == .line("draft"))
    }

    @Test func controlCTellsWhetherSomethingWasLost() {
        #expect(type("\u{03}").1 == .interrupted(wasEmpty: true))
        #expect(type("abc\u{03}").1 == .interrupted(wasEmpty: false))
    }

    @Test func controlDLeavesOnlyAnEmptyLine() {
        #expect(type("\u{04}").1 == .endOfInput)
        let (editor, outcome) = type("ab\u{01}\u{04}")
        #expect(outcome == .edited)
        #expect(editor.characters == ["b"])
    }

    @Test func splitSequencesAreOneKey() {
        var parser = KeyParser()
        #expect(parser.append([0x1B]).isEmpty)
        #expect(parser.append([UInt8(ascii: "[")]).isEmpty)
        #expect(parser.append([UInt8(ascii: "A")]) == [.up])
        #expect(parser.append([0xE2, 0x82]).isEmpty)
        #expect(parser.append([0xAC]) == [.text("€")])
    }

    @Test func longLinesWrapWhereTheTerminalDoes() {
        let layout = LineLayout(prompt: "> ", characters: Array("abcdefgh"), cursor: 3, columnCount: 5)
        #expect(layout.text == "> abc\r\ndefgh\r\n")
        #expect(layout.cursorRow == 1)
        #expect(layout.cursorColumn == 0)
        #expect(layout.endRow == 2)
    }

    @Test func wideCharactersTakeTwoColumns() {
        let layout = LineLayout(prompt: "", characters: Array("日本\u{65}\u{301}"), cursor: 3, columnCount: 80)
        #expect(layout.cursorColumn == 5)
    }

    @Test func pastedEscapesAreShownNotObeyed() {
        let layout = LineLayout(prompt: "", characters: Array("\u{1B}[2J"), cursor: 0, columnCount: 80)
        #expect(layout.text == "␛[2J")
    }
}
