package org.edgekit.demo.ui;

import android.content.res.Resources;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.edgekit.demo.R;

/**
 * Messages of exceptions in the user's language. Exceptions carry English, since the result files and the host have
 * it too; the other languages' {@code messages} resources pair each form of message with its translation.
 */
final class Messages {
    private static final Pattern HOLE = Pattern.compile("\\{(\\d)\\}");

    private Messages() {}

    /** The message in the user's language; itself where it has no translation. */
    static String shown(Resources resources, String message) {
        String[] pairs = resources.getStringArray(R.array.messages);
        return message == null ? "" : translate(pairs, message);
    }

    private static String translate(String[] pairs, String message) {
        for (int place = 0; place + 1 < pairs.length; place += 2) {
            String form = Pattern.quote(pairs[place]).replace("{}", "\\E(.+?)\\Q");
            Matcher found = Pattern.compile(form, Pattern.DOTALL).matcher(message);
            if (found.matches()) {
                return fill(pairs, pairs[place + 1], found);
            }
        }
        return message;
    }

    /** Fills the holes of a translation; what stands in them may be a message too. */
    private static String fill(String[] pairs, String translation, Matcher found) {
        Matcher hole = HOLE.matcher(translation);
        StringBuffer text = new StringBuffer();
        while (hole.find()) {
            String part = translate(pairs, found.group(Integer.parseInt(hole.group(1))));
            hole.appendReplacement(text, Matcher.quoteReplacement(part));
        }
        return hole.appendTail(text).toString();
    }
}
