/// Text from elsewhere, made safe to show.
package enum TerminalText {
    /// Replaces every character that a terminal would obey (escape sequences, cursor movement, bells) with a visible
    /// stand-in. Line feeds and tabs stay; a carriage return goes, since it would overwrite what is already shown.
    package static func neutralized(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if !isControl(scalar) {
                result.append(scalar)
            } else if let replacement = standIn(for: scalar) {
                result.append(replacement)
            }
        }
        return String(result)
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A: false
        case 0x00...0x1F, 0x7F...0x9F: true
        default: false
        }
    }

    private static func standIn(for control: Unicode.Scalar) -> Unicode.Scalar? {
        switch control.value {
        case 0x0D: nil
        case 0x00...0x1F: Unicode.Scalar(0x2400 + control.value)
        case 0x7F: "\u{2421}"
        default: "\u{FFFD}"
        }
    }
}
