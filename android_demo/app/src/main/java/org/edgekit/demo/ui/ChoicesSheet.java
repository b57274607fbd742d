package org.edgekit.demo.ui;

import android.app.Activity;
import android.app.Dialog;
import android.view.Gravity;
import android.view.View;
import android.view.ViewGroup;
import android.view.Window;
import org.edgekit.demo.R;

/** The place of the choices: a pane beside the picture on wide screens, else a sheet that opens. */
final class ChoicesSheet {
    private final View choices;

    /** The sheet; null where the choices have a pane. */
    private final Dialog sheet;

    ChoicesSheet(Activity activity) {
        ViewGroup pane = activity.findViewById(R.id.pane);
        choices = activity.getLayoutInflater().inflate(R.layout.choices, pane, false);
        if (pane != null) {
            pane.addView(choices);
            sheet = null;
            return;
        }
        sheet = new Dialog(activity, R.style.Sheet);
        sheet.setContentView(R.layout.sheet);
        ((ViewGroup) sheet.findViewById(R.id.sheet)).addView(choices);
        sheet.setCanceledOnTouchOutside(true);
        Window window = sheet.getWindow();
        window.setGravity(Gravity.BOTTOM);
        window.setLayout(ViewGroup.LayoutParams.MATCH_PARENT, ViewGroup.LayoutParams.WRAP_CONTENT);
    }

    /** The view with the choices, whether it is shown or not. */
    View choices() {
        return choices;
    }

    /** True where the choices must be opened to be seen. */
    boolean opens() {
        return sheet != null;
    }

    void open() {
        if (sheet != null) {
            sheet.show();
        }
    }

    boolean isOpen() {
        return sheet != null && sheet.isShowing();
    }

    void close() {
        if (sheet != null) {
            sheet.dismiss();
        }
    }
}
