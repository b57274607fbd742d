package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import android.widget.ArrayAdapter;
import android.widget.ListView;
import java.io.IOException;
import java.util.List;
import org.edgekit.demo.R;

/** Shows the text of one licence. */
public final class LicenceActivity extends Activity {
    private static final String EXTRA_LICENCE = "licence";

    static Intent intent(Context context, Licence licence) {
        return new Intent(context, LicenceActivity.class).putExtra(EXTRA_LICENCE, licence.name());
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.licence);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        Licence licence = Licence.valueOf(getIntent().getStringExtra(EXTRA_LICENCE));
        getActionBar().setSubtitle(licence.title);
        ((ListView) findViewById(R.id.paragraphs)).setAdapter(
                new ArrayAdapter<>(this, R.layout.paragraph, read(licence)));
    }

    private List<String> read(Licence licence) {
        try {
            return licence.paragraphs(this);
        } catch (IOException error) {
            throw new IllegalStateException(error); // the list shows only those that are there
        }
    }
}
