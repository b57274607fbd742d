import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.PrintWriterLogger;

/** Prints what classes use that a platform's signature lacks: SIGNATURE CLASSES IGNORED_PACKAGE... */
public class ApiCheck {
    public static void main(String[] arguments) throws Exception {
        String[] ignored = Arrays.copyOfRange(arguments, 2, arguments.length);
        try (InputStream signature = new FileInputStream(arguments[0])) {
            SignatureChecker checker =
                    new SignatureChecker(
                            signature,
                            new HashSet<>(Arrays.asList(ignored)),
                            new PrintWriterLogger(System.out));
            checker.setSourcePath(new ArrayList<>());
            checker.process(new File(arguments[1]));
            System.out.println(checker.isSignatureBroken() ? "broken" : "kept");
        }
    }
}
